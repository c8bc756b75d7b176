"""``thinsim bench`` measures speed."""

import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from thinsim.benchmark import document as benchmark
from thinsim.benchmark.command_contender import CommandContender, parse_command
from thinsim.benchmark.comparison import within
from thinsim.benchmark.contenders import Contender, all_together, parse_contender, steps_up
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.exports import benchmark_markdown, csv_text
from thinsim.benchmark.running import AnyContender, BenchmarkPlan, BenchmarkRun
from thinsim.benchmark.table import print_benchmark
from thinsim.cli.benchmark_outputs import (
    drawing,
    file_option,
    least_effect_option,
    plot_option,
    schema_option,
    write_results,
)
from thinsim.cli.containerd_option import containerd_option
from thinsim.cli.directory_option import directory_option
from thinsim.cli.expected_trouble import needs_option
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.output_console import notes_console, output_console
from thinsim.cli.progress import TerminalProgress
from thinsim.cli.quiet import quiet_option
from thinsim.cli.run_scenario import clean_up_after_killed_runs
from thinsim.cli.size import SIZE, UNITS
from thinsim.errors import InvalidValueError, ProgramFailedError
from thinsim.rig.registry import AUTO, choose_rig, probe_machine
from thinsim.scenario.containerd.builds import find_build, labels
from thinsim.scenario.reproduce import BUILT_IMAGE_BYTES, CORE, SUBJECTS
from thinsim.units import Bytes
from thinsim.vm.guest_script import SCRATCH

_RECORDED_MB = BUILT_IMAGE_BYTES >> 20
"""The recording that the process rig plays has an image and a container of this many MiB each."""


@click.command(epilog=UNITS)
@click.option(
    "--contender",
    "words",
    multiple=True,
    metavar="RIG/SUBJECT/SETTING",
    help="Measure this contender; may be repeated. Ratios are to the first one. RIG may be auto; thinsim "
    "reproduce --help lists the subjects and settings. Default: auto/core/off, auto/core/on, "
    "auto/core/committed.",
)
@click.option(
    "--command",
    "command_words",
    multiple=True,
    metavar="NAME=COMMAND",
    help="Measure this shell command as well; may be repeated. Without --contender, thinsim measures only "
    "commands.",
)
@containerd_option("a contender with the subject containerd or proxy")
@click.option(
    "--prepare",
    metavar="COMMAND",
    help="Run this shell command before each run of a contender. Its time does not count.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="Measure this many rounds."
)
@click.option(
    "--warm-up",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Warm-up rounds, not counted.",
)
@click.option(
    "--container-mb",
    type=click.IntRange(1, 1 << 20),
    multiple=True,
    default=(100,),
    show_default=True,
    help="Let the container leave this many MiB of files; repeat to measure several sizes.",
)
@click.option(
    "--image-mb",
    type=click.IntRange(1, 1 << 20),
    multiple=True,
    default=(100,),
    show_default=True,
    help="Build an image of this many MiB; repeat to measure several sizes.",
)
@click.option(
    "--data-size",
    type=SIZE,
    multiple=True,
    default=("2G",),
    show_default=True,
    help="Make the pool's data device this large; repeat to measure several sizes.",
)
@click.option(
    "--matrix",
    is_flag=True,
    help="Measure every combination of the sizes, instead of growing one size at a time.",
)
@directory_option
@least_effect_option
@click.option(
    "--percentiles",
    is_flag=True,
    help="Also print the percentiles of single steps over all rounds, such as each prepare and commit.",
)
@file_option("json", "all figures as JSON")
@file_option("csv", "one line per figure as CSV")
@file_option("markdown", "the tables as Markdown")
@plot_option
@schema_option(benchmark.json_schema)
@quiet_option
def bench(
    words: tuple[str, ...],
    command_words: tuple[str, ...],
    containerd: tuple[Path, ...],
    prepare: str | None,
    rounds: int,
    warm_up: int,
    container_mb: tuple[int, ...],
    image_mb: tuple[int, ...],
    data_size: tuple[int, ...],
    matrix: bool,
    directory: Path | None,
    least_effect: float,
    percentiles: bool,
    json_path: Path | None,
    csv_path: Path | None,
    markdown_path: Path | None,
    plot: Path | None,
) -> None:
    """Measure the speed of snapshots, images and containers.

    In each round, every contender imports an image, runs a container and removes both, in turn. The table
    shows medians and their ratios to the first contender: the latency of prepare, commit and remove, the
    throughput of writes and of removals, the bytes written and punched, and for each process the processor
    time, the memory, and the bytes that it read and wrote with system calls. To measure in a guest, run
    thinsim bench with thinsim vm run.

    A ratio is marked better or worse only if it differs from 1 by more than --least-effect, if its interval
    does not hold 1, and if chance does not explain the difference in a table of so many rows. This needs
    seven rounds at least. The last lines name the rounds that other programs disturbed.

    If you name several sizes, one of them grows at a time; --matrix measures every combination. The process
    rig plays a recording of 100 MiB for the image and 100 MiB for the container, and takes no other sizes.

    A --command takes its turn in each round. thinsim measures its wall time, its processor time, and the peak
    memory of its largest process. It and --prepare find the name of the contender in THINSIM_BENCH_CONTENDER,
    a directory in THINSIM_BENCH_DIR, and the sizes in bytes in THINSIM_BENCH_DATA_SIZE,
    THINSIM_BENCH_IMAGE_SIZE and THINSIM_BENCH_CONTAINER_SIZE. A status other than 0 is a failed run.

    If a run fails or a signal interrupts the command, it prints and writes the complete rounds before, names
    the reason in the document (cut_short) and ends with status 1 or 130.
    """
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    draw = drawing(plot)
    contenders = _contenders(words, command_words, containerd, directory)
    if {*container_mb, *image_mb} != {_RECORDED_MB}:
        _refuse_recorded(contenders)
    plan = BenchmarkPlan(
        contenders=contenders,
        sizes=(all_together if matrix else steps_up)(
            [Bytes(size) for size in data_size],
            [Bytes(size << 20) for size in image_mb],
            [Bytes(size << 20) for size in container_mb],
        ),
        rounds=rounds,
        warm_up=warm_up,
        directory=directory,
        command=shlex.join(["thinsim", *sys.argv[1:]]),
        prepare=prepare,
    )
    run, ended = _measured(plan, notes)
    document = run.document
    if document is None:
        raise _without_figures(run, ended)
    least = least_effect / 100
    write_results(
        [
            (json_path, lambda: document.model_dump_json(indent=1)),
            (csv_path, lambda: csv_text(document)),
            (markdown_path, lambda: benchmark_markdown(document, least)),
        ],
        lambda: print_benchmark(output_console(), document, least_effect=least, percentiles=percentiles),
    )
    if draw is not None and plot is not None:
        first = document.contenders[0]
        compared = [each for each in within(document, least) if each.contender != first]
        draw(compared, f"ratios to {first}", plot)
    if ended is not None:
        raise _with_figures(document, rounds, ended)


def _measured(plan: BenchmarkPlan, notes: Console) -> tuple[BenchmarkRun, Exception | None]:
    """Return the run with its measurements, and the error or the signal that ended it early."""
    with TerminalProgress(notes) as progress:
        run = BenchmarkRun(plan, progress)
        try:
            run_interruptible(run.measure)
        except Exception as error:
            return run, error
    return run, None


def _without_figures(run: BenchmarkRun, ended: Exception | None) -> Exception:
    assert ended is not None, "a run to the end has at least one round"
    no_round = "no round is complete, so there are no figures to write"
    if isinstance(ended, click.Abort):
        click.echo(f"Interrupted in {run.at}: {no_round}.", err=True)
    elif isinstance(ended, ProgramFailedError):
        return ProgramFailedError(f"{ended} ({no_round})")
    return ended


def _with_figures(document: Benchmark, planned: int, ended: Exception) -> Exception:
    if document.cut_short is None:
        return ended
    kept = f"the figures are those of {document.rounds_text} before, of {planned} in the plan"
    if isinstance(ended, click.Abort):
        click.echo(f"I{document.cut_short.removeprefix('i')}: {kept}.", err=True)
    elif isinstance(ended, ProgramFailedError):
        return ProgramFailedError(f"{ended} ({kept})")
    return ended


def _contenders(
    words: Sequence[str], commands: Sequence[str], containerd: Sequence[Path], directory: Path | None
) -> list[AnyContender]:
    """Return the contenders. Refuse one that cannot run here before anything is measured."""
    findings = probe_machine(directory or Path(tempfile.gettempdir()))
    if not words and not commands:
        words = [f"{AUTO}/{CORE}/{setting.slug}" for setting in SUBJECTS[CORE]]
    if any(word.startswith(f"{AUTO}/") for word in words):
        best = choose_rig(AUTO, findings).rig.name
        words = [
            f"{best}{word.removeprefix(AUTO)}" if word.startswith(f"{AUTO}/") else word for word in words
        ]
    contenders = [parse_contender(text, SUBJECTS) for text in words]
    for each in contenders:
        if each.rig.running is None:
            inside = f"{each.rig.inside}/{each.subject}/{each.setting.slug}"
            raise InvalidValueError(
                f"{each.name}: all contenders must run on one machine; measure in the guest: "
                f"thinsim vm run --share . -- thinsim bench --contender {inside} --dir {SCRATCH} --json FILE"
            )
        if not each.rig.mounts and each.subject != CORE:
            raise click.UsageError(
                f"{each.name}: {each.subject} needs a rig with devices; {each.rig.name} has none"
            )
        choose_rig(each.rig.name, findings)
    everything: list[AnyContender] = [*_on_each(contenders, containerd), *_commands(commands)]
    _refuse_same_names(everything)
    return everything


def _on_each(contenders: Sequence[Contender], directories: Sequence[Path]) -> Sequence[Contender]:
    """Return the contenders, those with containerd once for each build in *directories*."""
    if not directories:
        return contenders
    if all(each.subject == CORE for each in contenders):
        raise needs_option("--containerd", "--contender RIG/containerd/SETTING", "the core runs without it")
    words = labels([find_build(each) for each in directories]) if len(directories) > 1 else [""]
    return [
        each if directory is None else replace(each, containerd=directory, label=word)
        for each in contenders
        for directory, word in (
            [(None, "")] if each.subject == CORE else zip(directories, words, strict=True)
        )
    ]


def _commands(words: Sequence[str]) -> list[CommandContender]:
    try:
        return [parse_command(text) for text in words]
    except InvalidValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="'--command'") from error


def _refuse_same_names(contenders: Sequence[AnyContender]) -> None:
    """Refuse a second contender of the same name: the results could not distinguish the two."""
    seen: set[str] = set()
    for each in contenders:
        if each.name in seen:
            option, fix = (
                ("--contender", "name it once")
                if isinstance(each, Contender)
                else ("--command", "choose another")
            )
            raise click.BadParameter(
                f"{each.name} is the name of another contender; {fix}.", param_hint=f"'{option}'"
            )
        seen.add(each.name)


def _refuse_recorded(contenders: Sequence[AnyContender]) -> None:
    """Refuse sizes that a contender on the process rig cannot have."""
    for each in contenders:
        if isinstance(each, Contender) and not each.rig.mounts:
            raise click.UsageError(
                f"{each.name}: the {each.rig.name} rig plays a recorded image and container of "
                f"{_RECORDED_MB} MiB each, which --image-mb and --container-mb do not change."
            )

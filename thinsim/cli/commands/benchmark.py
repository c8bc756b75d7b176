"""``thinsim bench`` measures speed; ``thinsim compare`` compares two of its results."""

import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from thinsim.benchmark import comparison
from thinsim.benchmark import document as benchmark
from thinsim.benchmark.comparison import Compared, within
from thinsim.benchmark.contenders import Contender, parse_contender, steps_up
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.running import BenchmarkPlan, run_benchmark
from thinsim.benchmark.table import print_benchmark, print_comparison
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.output_console import notes_console, output_console
from thinsim.cli.output_path import OutputPath
from thinsim.cli.progress import TerminalProgress
from thinsim.cli.quiet import quiet_option
from thinsim.cli.rig_option import directory_option
from thinsim.cli.run_scenario import clean_up_after_killed_runs
from thinsim.cli.size import SIZE, UNITS
from thinsim.errors import EnvironmentLacksError, InvalidValueError, ProgramFailedError
from thinsim.rig.registry import AUTO, choose_rig, probe_machine
from thinsim.scenario.reproduce import BUILT_IMAGE_BYTES, CORE, SUBJECTS
from thinsim.units import Bytes
from thinsim.vm.guest_script import SCRATCH

_Command = TypeVar("_Command", bound=Callable[..., Any])
_READ = click.Path(path_type=Path, exists=True, dir_okay=False)
_PLOTS = (".svg", ".png", ".pdf")
_JSON = OutputPath(allow_dash=True)
_PLOT_HELP = "Draw the ratios in this file, an .svg, .png or .pdf. Needs pip install 'thinsim[bench]'."
_RECORDED_MB = BUILT_IMAGE_BYTES >> 20
"""The recording that the process rig plays has an image and a container of this many MiB each."""


def _schema(of: Callable[[], dict[str, Any]]) -> Callable[[_Command], _Command]:
    """Add ``--schema``, which prints the schema of the ``--json`` document and ends the command."""

    def shown(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
        if wanted:
            click.echo(json.dumps(of(), indent=1))
            context.exit()

    return click.option(
        "--schema",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=shown,
        help="Print the JSON schema of the --json document and end.",
    )


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
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Measure this many rounds."
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
@directory_option
@click.option(
    "--json",
    "json_path",
    type=_JSON,
    help="Write all figures to this file as JSON; - writes to stdout instead of the table.",
)
@click.option("--plot", type=OutputPath(), help=_PLOT_HELP)
@_schema(benchmark.json_schema)
@quiet_option
def bench(
    words: tuple[str, ...],
    rounds: int,
    warm_up: int,
    container_mb: tuple[int, ...],
    image_mb: tuple[int, ...],
    data_size: tuple[int, ...],
    directory: Path | None,
    json_path: Path | None,
    plot: Path | None,
) -> None:
    """Measure the speed of snapshots, images and containers.

    In each round, every contender imports an image, runs a container and removes both, in turn. The table
    shows medians and their ratios to the first contender: the latency of prepare, commit and remove, the
    throughput of writes and of removals, the bytes written and punched, and for each process the processor
    time, the memory, and the bytes that it read and wrote with system calls. To measure in a guest, run
    thinsim bench with thinsim vm run.

    If you name several sizes, one of them grows at a time. The process rig plays a recording of 100 MiB for
    the image and 100 MiB for the container, and takes no other sizes.

    If a run fails, the command keeps the complete rounds before it, names the failure in the document
    (cut_short) and ends with status 1.
    """
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    draw = None if plot is None else _drawing(plot)
    contenders = _contenders(words, directory)
    if {*container_mb, *image_mb} != {_RECORDED_MB}:
        _refuse_recorded(contenders)
    plan = BenchmarkPlan(
        contenders=contenders,
        sizes=steps_up(
            [Bytes(size) for size in data_size],
            [Bytes(size << 20) for size in image_mb],
            [Bytes(size << 20) for size in container_mb],
        ),
        rounds=rounds,
        warm_up=warm_up,
        directory=directory,
        command=shlex.join(["thinsim", *sys.argv[1:]]),
    )
    with TerminalProgress(notes) as progress:
        document = run_interruptible(lambda: run_benchmark(plan, progress))
    text = document.model_dump_json(indent=1)
    if json_path == Path("-"):
        click.echo(text)
    else:
        if json_path is not None:
            json_path.write_text(text + "\n")
        print_benchmark(output_console(), document)
    if draw is not None and plot is not None:
        rows = list(dict.fromkeys(series.row for series in document.series))
        compared = [
            each
            for sizes in document.sizes
            for row in rows
            for each in list(within(document, sizes, row))[1:]
        ]
        draw(compared, f"ratios to {document.contenders[0]}", plot)
    if document.cut_short is not None:
        raise ProgramFailedError(
            f"{document.cut_short} (the figures are those of {document.rounds_text} before, "
            f"of {rounds} in the plan)"
        )


def _contenders(words: Sequence[str], directory: Path | None) -> list[Contender]:
    """Return the contenders. Refuse one that cannot run here before anything is measured."""
    findings = probe_machine(directory or Path(tempfile.gettempdir()))
    best = choose_rig(AUTO, findings).rig.name
    words = words or [f"{AUTO}/{CORE}/{setting.slug}" for setting in SUBJECTS[CORE]]
    texts = [f"{best}{word.removeprefix(AUTO)}" if word.startswith(f"{AUTO}/") else word for word in words]
    contenders = [parse_contender(text, SUBJECTS) for text in dict.fromkeys(texts)]
    for each in contenders:
        if each.rig.running is None:
            inside = f"{each.rig.inside}/{each.subject}/{each.setting.slug}"
            raise InvalidValueError(
                f"{each.name}: all contenders must run on one machine; measure in the guest: "
                f"thinsim vm run --share . -- thinsim bench --contender {inside} --dir {SCRATCH} --json FILE"
            )
        if not each.rig.mounts and each.subject != CORE:
            raise InvalidValueError(
                f"{each.name}: {each.subject} needs a rig with devices; {each.rig.name} has none"
            )
        choose_rig(each.rig.name, findings)
    return contenders


def _refuse_recorded(contenders: Sequence[Contender]) -> None:
    """Refuse sizes that a contender on the process rig cannot have."""
    for each in contenders:
        if not each.rig.mounts:
            raise InvalidValueError(
                f"{each.name}: the {each.rig.name} rig plays a recorded image and container of "
                f"{_RECORDED_MB} MiB each, which --image-mb and --container-mb do not change"
            )


@click.command()
@click.argument("first", metavar="A", type=_READ)
@click.argument("second", metavar="B", type=_READ)
@click.option(
    "--json",
    "json_path",
    type=_JSON,
    help="Write the comparison to this file as JSON; - writes to stdout instead of the table.",
)
@click.option("--plot", type=OutputPath(), help=_PLOT_HELP)
@_schema(comparison.json_schema)
def compare(first: Path, second: Path, json_path: Path | None, plot: Path | None) -> None:
    """Compare two results of thinsim bench.

    A and B are files that thinsim bench --json wrote, before and after a change. The table shows the ratio
    of B to A with a confidence interval that holds the true median; its last line states the confidence.
    The interval needs no assumption about the distribution of times (sign test), so few rounds make it
    wide. Below 80 % (fewer than five rounds of each) nothing counts as better or worse.

    The table also lists contenders and sizes that only one file has, and differences of the environment.
    """
    draw = None if plot is None else _drawing(plot)
    found = comparison.compare_benchmarks(Benchmark.read(first), Benchmark.read(second))
    if not found.compared:
        each_has = "; ".join(
            f"only {path} has {' and '.join(only) or 'nothing'}"
            for path, only in ((first, found.only_first), (second, found.only_second))
        )
        raise InvalidValueError(f"{first} and {second} have no row, contender and size in common: {each_has}")
    text = found.model_dump_json(indent=1)
    if json_path == Path("-"):
        click.echo(text)
    else:
        if json_path is not None:
            json_path.write_text(text + "\n")
        print_comparison(output_console(), found)
    if draw is not None and plot is not None:
        draw(found.compared, f"{second} to {first}", plot)


def _drawing(path: Path) -> Callable[[Sequence[Compared], str, Path], None]:
    """Return the function that draws a chart. Find out that it is missing before hours of measuring."""
    if path.suffix not in _PLOTS:
        raise InvalidValueError(f"--plot {path}: the name of the file must end in {', '.join(_PLOTS)}")
    try:
        from thinsim.benchmark.chart import comparison_chart  # noqa: PLC0415 (optional, and slow to load)
    except ModuleNotFoundError as error:
        raise EnvironmentLacksError(
            f"--plot needs the package {error.name}: pip install 'thinsim[bench]'"
        ) from error
    return comparison_chart

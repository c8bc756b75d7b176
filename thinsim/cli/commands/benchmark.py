"""``thinsim bench`` and ``thinsim compare`` measure speed so that it can be compared."""

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
from thinsim.cli.run_scenario import clean_up_after_killed_runs
from thinsim.cli.size import SIZE, UNITS
from thinsim.errors import EnvironmentLacksError, InvalidValueError, ProgramFailedError
from thinsim.rig.registry import AUTO, choose_rig, probe_machine
from thinsim.scenario.reproduce import BUILT_IMAGE_BYTES, CORE, SUBJECTS
from thinsim.units import Bytes
from thinsim.vm.guest_script import SCRATCH

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)
_READ = click.Path(path_type=Path, exists=True, dir_okay=False)
_PLOTS = (".svg", ".png", ".pdf")
_JSON = OutputPath(allow_dash=True)
_RECORDED_MB = BUILT_IMAGE_BYTES >> 20
"""Of the image, and of the container, in the history that the process rig plays."""


def _schema(of: Callable[[], dict[str, Any]]) -> Callable[[_Command], _Command]:
    """Add ``--schema``, which prints the schema of what ``--json`` writes and needs nothing else."""

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
        help="Print the JSON schema of what --json writes instead.",
    )


@click.command(epilog=UNITS)
@click.option(
    "--contender",
    "words",
    multiple=True,
    metavar="RIG/SUBJECT/SETTING",
    help="Who takes part, the first is what ratios are to; repeat it. Default: the core's settings on the "
    "best rig. RIG may be auto; subjects and settings are those of thinsim reproduce.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds that count.")
@click.option(
    "--warm-up", type=click.IntRange(min=0), default=1, show_default=True, help="Rounds before that do not."
)
@click.option(
    "--container-mb", type=click.IntRange(1, 1 << 20), multiple=True, default=(100,), help="Repeat to grow."
)
@click.option(
    "--image-mb", type=click.IntRange(1, 1 << 20), multiple=True, default=(100,), help="Repeat to grow."
)
@click.option("--data-size", type=SIZE, multiple=True, default=("2G",), help="Of the pool; repeat to grow.")
@click.option("--dir", "directory", type=_PATH, help="Where the pools' files go.")
@click.option("--json", "json_path", type=_JSON, help="Write all figures here, - for stdout.")
@click.option("--plot", type=OutputPath(), help="Draw the ratios; .svg, .png or .pdf.")
@_schema(benchmark.json_schema)
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
    """Measure snapshots, images and containers: interleaved rounds, medians, ratios, what processes cost.

    Each round, every contender imports an image, runs a container and removes both, in turn. Sizes given
    more than once are grown one at a time.
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
            f"{document.cut_short} (the figures are of {document.rounds_text} before, of {rounds} asked for)"
        )


def _contenders(words: Sequence[str], directory: Path | None) -> list[Contender]:
    """Return who takes part; what can not run here is refused before anything is measured."""
    findings = probe_machine(directory or Path(tempfile.gettempdir()))
    best = choose_rig(AUTO, findings).rig.name
    words = words or [f"{AUTO}/{CORE}/{setting.slug}" for setting in SUBJECTS[CORE]]
    texts = [f"{best}{word.removeprefix(AUTO)}" if word.startswith(f"{AUTO}/") else word for word in words]
    contenders = [parse_contender(text, SUBJECTS) for text in dict.fromkeys(texts)]
    for each in contenders:
        if each.rig.running is None:
            inside = f"{each.rig.inside}/{each.subject}/{each.setting.slug}"
            raise InvalidValueError(
                f"{each.name}: all contenders run on one machine; measure in the guest: "
                f"thinsim vm run --share . -- thinsim bench --contender {inside} --dir {SCRATCH} --json FILE"
            )
        if not each.rig.mounts and each.subject != CORE:
            raise InvalidValueError(
                f"{each.name}: {each.subject} needs a rig with devices; {each.rig.name} has none"
            )
        choose_rig(each.rig.name, findings)
    return contenders


def _refuse_recorded(contenders: Sequence[Contender]) -> None:
    """Refuse sizes that a contender would not have."""
    for each in contenders:
        if not each.rig.mounts:
            raise InvalidValueError(
                f"{each.name}: the {each.rig.name} rig plays a recorded image and container of "
                f"{_RECORDED_MB} MiB each, which --image-mb and --container-mb do not change"
            )


@click.command()
@click.argument("first", metavar="A", type=_READ)
@click.argument("second", metavar="B", type=_READ)
@click.option("--json", "json_path", type=_JSON, help="Write the comparison here, - for stdout.")
@click.option("--plot", type=OutputPath(), help="Draw the ratios; .svg, .png or .pdf.")
@_schema(comparison.json_schema)
def compare(first: Path, second: Path, json_path: Path | None, plot: Path | None) -> None:
    """Compare what thinsim bench --json wrote, A before and B after: ratios and how sure they are."""
    draw = None if plot is None else _drawing(plot)
    found = comparison.compare_benchmarks(Benchmark.read(first), Benchmark.read(second))
    if not found.compared:
        each_has = "; ".join(
            f"{path} alone has {' and '.join(only) or 'nothing'}"
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
    """Return what draws a chart at *path*: found out before hours of measuring, not after."""
    if path.suffix not in _PLOTS:
        raise InvalidValueError(f"--plot {path}: its name must end in {', '.join(_PLOTS)}")
    try:
        from thinsim.benchmark.chart import comparison_chart  # noqa: PLC0415 (optional, and slow to load)
    except ModuleNotFoundError as error:
        raise EnvironmentLacksError(f"--plot needs {error.name}: pip install 'thinsim[bench]'") from error
    return comparison_chart

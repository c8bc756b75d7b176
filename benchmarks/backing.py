"""``python -m benchmarks.backing`` compares the store below a loop device with a plain file and its peers.

It needs root, fio, e2fsprogs and util-linux. It skips a peer that is not installed, with a message.
"""

import json
import tempfile
from contextlib import ExitStack, nullcontext
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.backing_contenders import CONTENDERS, PLAIN, StoreContender, loop_device
from benchmarks.backing_rows import ROWS, TURNS, TurnSizes, steps, take
from thinsim.benchmark.chart import ratio_chart
from thinsim.benchmark.rounds import Measurements, awake_processors, turned
from thinsim.report.environment import environment


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option("--quick", is_flag=True, help="Use small sizes, for a check that the benchmark works.")
@click.option("--idle", is_flag=True, help="Let processors sleep between requests.")
@click.option("--only", multiple=True, help="Measure only the plain file and contenders whose name has this.")
@click.option(
    "--row", "words", multiple=True, help="Measure only the first row and rows whose name has this."
)
@click.option("--dir", "base", type=click.Path(path_type=Path, exists=True), help="Directory for the files.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option(
    "--plot", "plot_path", type=click.Path(path_type=Path), help="Write a chart to this SVG or PNG."
)
def main(
    rounds: int,
    quick: bool,
    idle: bool,
    only: tuple[str, ...],
    words: tuple[str, ...],
    base: Path | None,
    json_path: Path | None,
    plot_path: Path | None,
) -> None:
    notes = Console(stderr=True, highlight=False)
    sizes = TurnSizes(16 << 20, 128 << 20, 0.2) if quick else TurnSizes()
    contenders = _chosen(only, notes)
    rows = [row for row in ROWS if row is ROWS[0] or not words or any(word in row.name for word in words)]
    result = Measurements(rows, [contender.name for contender in contenders])
    with (
        tempfile.TemporaryDirectory(prefix="thinsim-bench-", dir=base) as directory,
        awake_processors() if not idle else nullcontext(False) as awake,
    ):
        around = {**environment(Path(directory)), "processors_kept_awake": awake}

        for number in range(rounds):
            own = Path(directory, str(number))
            own.mkdir()
            notes.print(f"round {number + 1} of {rounds}")
            _measure_round(contenders, number, own, sizes, result)
    _print(result, around)
    if json_path is not None:
        document = {
            "environment": around,
            "rounds": rounds,
            "turns": TURNS,
            "measured": result.to_json(PLAIN),
        }
        json_path.write_text(json.dumps(document, indent=1) + "\n")
    if plot_path is not None:
        ratio_chart(
            result, PLAIN, f"Ratio to a plain file, median of {rounds} rounds of {TURNS} turns", plot_path
        )


def _chosen(only: tuple[str, ...], notes: Console) -> list[StoreContender]:
    chosen = []
    for contender in CONTENDERS:
        lack = contender.lacks()
        if lack is not None:
            notes.print(f"skipped {contender.name}: {lack}")
        elif not only or contender.name == PLAIN or any(word in contender.name for word in only):
            chosen.append(contender)
    return chosen


def _measure_round(
    contenders: list[StoreContender], number: int, directory: Path, sizes: TurnSizes, result: Measurements
) -> None:
    """Set up all contenders, and measure them in turn for each row, so that figures are seconds apart."""
    with ExitStack() as stack:
        devices: dict[str, Path] = {}
        for contender in contenders:
            own = directory / str(len(devices))
            own.mkdir()
            devices[contender.name] = stack.enter_context(loop_device(contender, own, sizes.device))
        for step in (step for step in steps(sizes) if step.row in result.rows):
            for turn in range(TURNS):
                for name in turned(result.contenders, number * TURNS + turn):
                    figure, why_not = take(step, turn, sizes, devices[name])
                    result.add(step.row, name, figure)
                    if why_not is not None:
                        result.reasons[step.row.name, name] = why_not


def _print(result: Measurements, around: dict[str, object]) -> None:
    console = Console(width=None if Console().is_terminal else 200)
    table = Table(box=None, title="median figure, and median ratio to the plain file", title_justify="left")
    table.add_column("row")
    table.add_column("unit")
    for contender in result.contenders:
        table.add_column(contender, justify="right")
    for row in result.rows:
        cells = []
        for contender in result.contenders:
            median, ratio = result.median(row, contender), result.ratio(row, contender, PLAIN)
            cells.append("-" if median is None or ratio is None else f"{_short(median)} {ratio:.2f}")
        table.add_row(row.name, row.unit, *cells)
    console.print(table)
    for (row, contender), reason in result.reasons.items():
        console.print(f"- {contender}, {row}: {reason}", highlight=False, markup=False)
    console.print(", ".join(f"{key} {value}" for key, value in around.items()), highlight=False)


def _short(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


if __name__ == "__main__":
    main()

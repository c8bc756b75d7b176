"""A `TurnedBenchmark` measures contenders that take turns at each row; `turned_options` has its options."""

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console
from rich.table import Table

from benchmarks.backing_rows import TURNS, RowStep, TurnSizes, take
from thinsim.benchmark.chart import ratio_chart
from thinsim.benchmark.rounds import Measurements, awake_processors, turned
from thinsim.report.environment import environment


class TurnTaker(Protocol):
    """A `TurnTaker` has a name in the table, and a block device for the time of a round."""

    @property
    def name(self) -> str:
        """Return the name."""

    @property
    def lacks(self) -> Callable[[], str | None]:
        """Return a check that names what is missing on this machine."""

    def device(self, directory: Path, size: int) -> AbstractContextManager[Path]:
        """Set up a device of *size* bytes with files in *directory*."""


@dataclass(frozen=True, slots=True)
class TurnedBenchmark:
    """A `TurnedBenchmark` compares contenders with the one named *plain*; *steps* returns the rows."""

    contenders: Sequence[TurnTaker]
    plain: str
    steps: Callable[[TurnSizes], Sequence[RowStep]]
    sizes: TurnSizes
    quick: TurnSizes

    def run(
        self,
        *,
        rounds: int,
        quick: bool,
        idle: bool,
        only: tuple[str, ...],
        words: tuple[str, ...],
        base: Path | None,
        json_path: Path | None,
        plot_path: Path | None,
    ) -> None:
        """Measure with the options of `turned_options`, and write the results."""
        notes = Console(stderr=True, highlight=False)
        sizes = self.quick if quick else self.sizes
        contenders = self._chosen(only, notes)
        rows = [step.row for step in self.steps(sizes)]
        rows = [row for row in rows if row is rows[0] or not words or any(word in row.name for word in words)]
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
                self._measure_round(contenders, number, own, sizes, result)
        self._print(result, around)
        if json_path is not None:
            measured = result.to_json(self.plain)
            document = {"environment": around, "rounds": rounds, "turns": TURNS, "measured": measured}
            json_path.write_text(json.dumps(document, indent=1) + "\n")
        if plot_path is not None:
            title = f"Ratio to a {self.plain}, median of {rounds} rounds of {TURNS} turns"
            ratio_chart(result, self.plain, title, plot_path)

    def _chosen(self, only: tuple[str, ...], notes: Console) -> list[TurnTaker]:
        chosen = []
        for contender in self.contenders:
            lack = contender.lacks()
            if lack is not None:
                notes.print(f"skipped {contender.name}: {lack}")
            elif not only or contender.name == self.plain or any(word in contender.name for word in only):
                chosen.append(contender)
        return chosen

    def _measure_round(
        self,
        contenders: list[TurnTaker],
        number: int,
        directory: Path,
        sizes: TurnSizes,
        result: Measurements,
    ) -> None:
        """Set up all contenders, and measure them in turn for each row, so that figures are seconds apart."""
        with ExitStack() as stack:
            devices: dict[str, Path] = {}
            for contender in contenders:
                own = directory / str(len(devices))
                own.mkdir()
                devices[contender.name] = stack.enter_context(contender.device(own, sizes.device))
            for step in (step for step in self.steps(sizes) if step.row in result.rows):
                for turn in range(TURNS):
                    for name in turned(result.contenders, number * TURNS + turn):
                        figure, why_not = take(step, turn, sizes, devices[name])
                        result.add(step.row, name, figure)
                        if why_not is not None:
                            result.reasons[step.row.name, name] = why_not

    def _print(self, result: Measurements, around: dict[str, object]) -> None:
        console = Console(width=None if Console().is_terminal else 200)
        title = f"median figure, and median ratio to the {self.plain}"
        table = Table(box=None, title=title, title_justify="left")
        table.add_column("row")
        table.add_column("unit")
        for contender in result.contenders:
            table.add_column(contender, justify="right")
        for row in result.rows:
            cells = []
            for contender in result.contenders:
                median, ratio = result.median(row, contender), result.ratio(row, contender, self.plain)
                cells.append("-" if median is None or ratio is None else f"{_short(median)} {ratio:.2f}")
            table.add_row(row.name, row.unit, *cells)
        console.print(table)
        for (row_name, contender), reason in result.reasons.items():
            console.print(f"- {contender}, {row_name}: {reason}", highlight=False, markup=False)
        console.print(", ".join(f"{key} {value}" for key, value in around.items()), highlight=False)


def turned_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `TurnedBenchmark.run` to a command."""
    for option in reversed(
        (
            click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True),
            click.option("--quick", is_flag=True, help="Use small sizes: check that the benchmark works."),
            click.option("--idle", is_flag=True, help="Let processors sleep between requests."),
            click.option(
                "--only", multiple=True, help="Measure only the first and the contenders whose name has this."
            ),
            click.option(
                "--row",
                "words",
                multiple=True,
                help="Measure only the first row and rows whose name has this.",
            ),
            click.option(
                "--dir",
                "base",
                type=click.Path(path_type=Path, exists=True),
                help="Directory for the files.",
            ),
            click.option(
                "--json",
                "json_path",
                type=click.Path(path_type=Path),
                help="Write all figures to this file.",
            ),
            click.option(
                "--plot",
                "plot_path",
                type=click.Path(path_type=Path),
                help="Write a chart to this SVG or PNG.",
            ),
        )
    ):
        command = option(command)
    return command


def _short(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"

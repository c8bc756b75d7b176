"""A `TurnedBenchmark` measures contenders that take turns at each row; `turned_options` has its options."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import click
from rich.console import Console

from benchmarks import early_end
from benchmarks.backing_rows import TURNS, Device, RowStep, TurnSizes, take
from benchmarks.turns_table import print_results
from thinsim.benchmark.rounds import Measurements, awake_processors, turned
from thinsim.benchmark.time_left import TimeLeft
from thinsim.cli.progress import TerminalProgress
from thinsim.cli.statuses import DONE, FAILED, INTERRUPTED
from thinsim.errors import ThinsimError
from thinsim.report.environment import environment

_Offered_co = TypeVar("_Offered_co", covariant=True)


class TurnTaker(Protocol[_Offered_co]):
    """A `TurnTaker` has a name in the table, and a device for the time of a round."""

    @property
    def name(self) -> str:
        """Return the name."""

    @property
    def lacks(self) -> Callable[[], str | None]:
        """Return a check that names what is missing on this machine."""

    def device(self, directory: Path, size: int) -> AbstractContextManager[_Offered_co]:
        """Set up a device of *size* bytes with files in *directory*."""


@dataclass(slots=True)
class TurnResults:
    """`TurnResults` are the figures of a benchmark, with the machine that they are from."""

    figures: Measurements
    plain: str
    around: dict[str, object] = field(default_factory=dict)
    rounds: int = 0
    """Rounds that were planned."""
    cut_short: str | None = None
    """The reason why there are fewer, or None."""

    def to_json(self) -> dict[str, object]:
        """Return the document that ``--json`` writes."""
        return {
            "environment": self.around,
            "rounds": self.rounds,
            "turns": TURNS,
            **({"cut_short": self.cut_short} if self.cut_short else {}),
            "measured": self.figures.to_json(self.plain),
        }

    def plot(self, path: Path) -> None:
        """Draw each contender's ratio to *plain*."""
        from thinsim.benchmark.chart import ratio_chart  # noqa: PLC0415 -- seconds, and more in a guest

        title = f"Ratio to a {self.plain}, median of {self.rounds * TURNS} turns"
        ratio_chart(self.figures, self.plain, title, path)

    @property
    def status(self) -> int:
        """Return the exit status: 0, 1 after a failure, 130 after a signal."""
        if self.cut_short is None:
            return DONE
        return INTERRUPTED if self.cut_short == INTERRUPTION else FAILED


INTERRUPTION = "a signal interrupted the benchmark"


@dataclass(frozen=True)
class TurnedBenchmark(Generic[Device]):
    """A `TurnedBenchmark` compares contenders with the one named *plain*; *steps* returns the rows."""

    contenders: Sequence[TurnTaker[Device]]
    plain: str
    steps: Callable[[TurnSizes], Sequence[RowStep[Device]]]
    sizes: TurnSizes
    quick: TurnSizes

    def run(self, *, json_path: Path | None, plot_path: Path | None, **options: Any) -> int:
        """Measure with the options of `turned_options`, write the results, and return the exit status."""
        with early_end.heeding_signals():
            results = self.measured(**options)
        print_results(results.figures, self.plain, results.around, results.cut_short)
        write(results.to_json(), json_path)
        if plot_path is not None:
            results.plot(plot_path)
        return results.status

    def measured(
        self,
        *,
        rounds: int,
        quick: bool,
        idle: bool,
        only: tuple[str, ...],
        words: tuple[str, ...],
        base: Path | None,
    ) -> TurnResults:
        """Measure, and return the results; after a signal or a failure, those of the turns until then."""
        notes = Console(stderr=True, highlight=False)
        sizes = self.quick if quick else self.sizes
        contenders = self._chosen(only, notes)
        steps = self.steps(sizes)
        steps = [each for each in steps if each is steps[0] or not words or _matches(each.row.name, words)]
        figures = Measurements([step.row for step in steps], [contender.name for contender in contenders])
        results = TurnResults(figures, self.plain, rounds=rounds)
        left = TimeLeft([(step.row.name, "") for _ in range(rounds) for step in steps])
        try:
            with (
                tempfile.TemporaryDirectory(prefix="thinsim-bench-", dir=base) as directory,
                awake_processors() if not idle else nullcontext(False) as awake,
                TerminalProgress(notes) as progress,
            ):
                results.around = {**environment(Path(directory)), "processors_kept_awake": awake}
                for number in range(rounds):
                    own = Path(directory, str(number))
                    own.mkdir()
                    taking = _Turns(figures, sizes, number, rounds, progress, left)
                    _measure_round(contenders, steps, own, taking)
        except early_end.EndedEarlyError:
            results.cut_short = INTERRUPTION
        except (ThinsimError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
            results.cut_short = INTERRUPTION if early_end.heard() else str(error)
        return results

    def _chosen(self, only: tuple[str, ...], notes: Console) -> list[TurnTaker[Device]]:
        chosen = []
        for contender in self.contenders:
            lack = contender.lacks()
            if only and contender.name != self.plain and not _matches(contender.name, only):
                continue
            if lack is not None:
                notes.print(f"skipped {contender.name}: {lack}")
            else:
                chosen.append(contender)
        return chosen


@dataclass(slots=True)
class _Turns:
    """`_Turns` take the turns of one round, and show how far they are."""

    figures: Measurements
    sizes: TurnSizes
    number: int
    rounds: int
    progress: TerminalProgress
    left: TimeLeft

    def take_all(self, step: RowStep[Device], devices: Mapping[str, Device]) -> None:
        """Let all contenders take turns at a row. Only complete turns count."""
        began = time.monotonic()
        all_rows = len(self.left.planned)
        place = f"round {self.number + 1} of {self.rounds}: {step.row.name}"
        self.progress.setting(
            all_rows - self.left.runs + 1, all_rows, f"{place} {self.left.text and f'({self.left.text})'}"
        )
        for turn in range(TURNS):
            found = {}
            for name in turned(self.figures.contenders, self.number * TURNS + turn):
                self.progress.step(f"turn {turn + 1} of {TURNS}", name)
                early_end.check()
                found[name] = take(step, turn, self.sizes, devices[name])
            for name, (figure, why_not) in found.items():
                self.figures.add(step.row, name, figure)
                if why_not is not None:
                    self.figures.reasons[step.row.name, name] = why_not
        self.left.add(time.monotonic() - began)


def _measure_round(
    contenders: Sequence[TurnTaker[Device]],
    steps: Sequence[RowStep[Device]],
    directory: Path,
    turns: _Turns,
) -> None:
    """Set up all contenders, and measure them in turn for each row, so that figures are seconds apart."""
    with ExitStack() as stack:
        devices: dict[str, Device] = {}
        for contender in contenders:
            early_end.check()
            own = directory / str(len(devices))
            own.mkdir()
            devices[contender.name] = stack.enter_context(contender.device(own, turns.sizes.device))
        for step in steps:
            turns.take_all(step, devices)


def write(document: Mapping[str, object], path: Path | None) -> None:
    """Write *document* as JSON to *path*, if there is one."""
    if path is not None:
        path.write_text(json.dumps(document, indent=1) + "\n")


def _matches(name: str, words: Sequence[str]) -> bool:
    return any(word in name for word in words)


_Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def turned_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `TurnedBenchmark.run` to a command."""
    options: Sequence[_Option] = (
        click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True),
        click.option("--quick", is_flag=True, help="Use small sizes: check that the benchmark works."),
        click.option("--idle", is_flag=True, help="Let processors sleep between requests."),
        click.option(
            "--only", multiple=True, help="Measure only the first and the contenders whose name has this."
        ),
        click.option(
            "--row", "words", multiple=True, help="Measure only the first row and rows whose name has this."
        ),
        click.option(
            "--dir", "base", type=click.Path(path_type=Path, exists=True), help="Directory for the files."
        ),
    )
    return _with(options, output_options(command))


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the outputs to a command."""
    options: Sequence[_Option] = (
        click.option(
            "--json", "json_path", type=click.Path(path_type=Path), help="Write all figures to this file."
        ),
        click.option(
            "--plot", "plot_path", type=click.Path(path_type=Path), help="Write a chart to this SVG or PNG."
        ),
    )
    return _with(options, command)


def _with(options: Sequence[_Option], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command

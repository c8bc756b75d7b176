"""A benchmark interleaves its contenders: in each round they take turns, so that drift affects all.

A machine gets slower and faster while a benchmark runs, so only figures of the same round are compared.
A figure is the median over the rounds. A ratio is the median of the ratios of the rounds.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A `FigureRow` is a measured quantity, of which either more or less is better."""

    name: str
    unit: str
    more_is_better: bool = True


@dataclass(slots=True)
class Measurements:
    """`Measurements` has the figures of each row and contender, one per round.

    A figure is None if the contender can't do the row.
    """

    rows: Sequence[FigureRow]
    contenders: Sequence[str]
    figures: dict[tuple[str, str], list[float | None]] = field(default_factory=dict)
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, row: FigureRow, contender: str, figure: float | None) -> None:
        """Add the figure of one round."""
        self.figures.setdefault((row.name, contender), []).append(figure)

    def median(self, row: FigureRow, contender: str) -> float | None:
        """Return the median figure, or None if a round has none."""
        figures = self.figures.get((row.name, contender), [])
        known = [figure for figure in figures if figure is not None]
        return statistics.median(known) if known and len(known) == len(figures) else None

    def ratios(self, row: FigureRow, contender: str, reference: str) -> list[float]:
        """Return, for each round, the contender's figure divided by the reference's."""
        pairs = zip(
            self.figures.get((row.name, contender), []),
            self.figures.get((row.name, reference), []),
            strict=True,
        )
        return [mine / its for mine, its in pairs if mine is not None and its]

    def ratio(self, row: FigureRow, contender: str, reference: str) -> float | None:
        """Return the median of the rounds' ratios, or None if the contender can't do the row."""
        if self.median(row, contender) is None:
            return None
        return statistics.median(self.ratios(row, contender, reference))

    def to_json(self, reference: str) -> list[Mapping[str, object]]:
        """Return one record per row and contender."""
        return [
            {
                "row": row.name,
                "unit": row.unit,
                "contender": contender,
                "rounds": self.figures.get((row.name, contender), []),
                "median": self.median(row, contender),
                "ratio": self.ratio(row, contender, reference),
                "ratios": self.ratios(row, contender, reference),
                "why_not": self.reasons.get((row.name, contender)),
            }
            for row in self.rows
            for contender in self.contenders
        ]


def turned(contenders: Sequence[str], number: int) -> Sequence[str]:
    """Return the order of round *number*; each contender is first equally often."""
    turn = number % len(contenders)
    return [*contenders[turn:], *contenders[:turn]]


@contextmanager
def awake_processors() -> Iterator[bool]:
    """Keep processors from idle states while measuring; yield whether the kernel allows it.

    A single request wakes a processor or two. The cost of a wake-up depends on the depth of the sleep. Under
    a hypervisor it exceeds that of the request. Documentation/power/pm_qos_interface.rst.
    """
    with ExitStack() as stack:
        try:
            latency = stack.enter_context(Path("/dev/cpu_dma_latency").open("wb", buffering=0))
            latency.write(bytes(4))
            awake = True
        except OSError:
            awake = False
        yield awake

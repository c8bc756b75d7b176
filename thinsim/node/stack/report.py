"""A `HeightsReport` is the document of ``thinsim heights``: heights, least sizes, obstacles and the probe."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from thinsim.node.stack.height import StackHeight
from thinsim.node.stack.passing import LeastSizes, least_sizes, obstacles
from thinsim.node.stack.probe import Probe


@dataclass(frozen=True, slots=True)
class HeightsReport:
    """A `HeightsReport` has the heights from the top to the lowest. All sizes are bytes."""

    path: str
    """The path of the command line."""
    heights: tuple[StackHeight, ...]
    """The heights. Each one is before all the heights below it."""
    dies_at: tuple[int, ...]
    """The indexes of the heights at which all discards die, by their limits; empty if none does."""
    least: LeastSizes | None
    """The smallest discards that live to the lowest height, by the limits; null if none does."""
    probe: Probe | None
    """The trials of `--probe`; null without it."""

    @property
    def alive(self) -> bool:
        """Return whether discards arrive at the lowest height; the first trial decides, if there is one."""
        if self.probe is not None and self.probe.trials[0].death is not None:
            return False
        return not self.dies_at

    def to_json(self) -> object:
        """Return the document as plain values."""
        return asdict(self, dict_factory=_plain)


def heights_report(path: Path, heights: Sequence[StackHeight], probe: Probe | None = None) -> HeightsReport:
    """Return the report on *heights*, which were found from *path*. Pure."""
    return HeightsReport(str(path), tuple(heights), tuple(obstacles(heights)), least_sizes(heights), probe)


def _plain(items: list[tuple[str, object]]) -> dict[str, object]:
    return {name: value.value if isinstance(value, Enum) else value for name, value in items}

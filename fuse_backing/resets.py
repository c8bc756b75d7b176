"""`ResetPoint` has the counts of a store at its last reset, and returns the counts since then.

A reset deletes nothing. The ledger stays whole: events, sums, histograms and metrics are those since the
mount.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fuse_backing.events import Totals
from fuse_backing.latency import OperationLatency


@dataclass(frozen=True, slots=True)
class ResetPoint:
    """A `ResetPoint` has the counts of one moment."""

    moment: float
    """The moment in seconds since the epoch."""
    files: Mapping[str, Totals] = field(default_factory=dict)
    """The sums of each file at that moment."""
    latencies: Mapping[str, OperationLatency] = field(default_factory=dict)
    """The latencies of each operation at that moment."""

    def files_since(self, now: Mapping[str, Totals]) -> dict[str, Totals]:
        """Return the sums of each file that has had events since, from its sums *now*."""
        since = {name: totals - self.files.get(name, Totals()) for name, totals in now.items()}
        return {name: totals for name, totals in since.items() if totals.events}

    def latencies_since(
        self, now: Mapping[str, OperationLatency], longest: Mapping[str, float]
    ) -> dict[str, OperationLatency]:
        """Return the latencies of each operation since; *longest* has the longest of them."""
        since = {name: each.since(self.latencies.get(name), longest.get(name)) for name, each in now.items()}
        return {name: each for name, each in since.items() if each.count}

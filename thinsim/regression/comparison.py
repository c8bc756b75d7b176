"""`compare_with_baseline` lists every change of a run against its baseline, with its kind. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from thinsim.regression.baseline import ScenarioBaseline, VariantBaseline
from thinsim.units import format_size

SHORTEST = 0.05
"""Seconds. A shorter time of discards counts as this, because a ratio of shorter times means nothing."""


class ChangeKind(StrEnum):
    """A `ChangeKind` names the kind of a change."""

    LEAK = "leak"
    """The run leaks more than any round of the baseline did."""
    BROKEN = "assert"
    """An assert fails that held in the baseline or is not in it."""
    SLOWER = "speed"
    """Discards cost more than the tolerance allows."""
    BETTER = "better"
    """The run is better than the baseline, which should be saved again."""
    NOTE = "note"
    """Something could not be compared; the text gives the reason."""


FAILING_KINDS = (ChangeKind.LEAK, ChangeKind.BROKEN, ChangeKind.SLOWER)


@dataclass(frozen=True, slots=True)
class Change:
    """A `Change` describes one change. *variant* is empty for a change of the whole scenario."""

    kind: ChangeKind
    scenario: str
    variant: str
    text: str


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """A `BaselineComparison` holds one scenario's measurements now and in the baseline."""

    now: ScenarioBaseline
    then: ScenarioBaseline | None
    changes: tuple[Change, ...]

    @property
    def failures(self) -> list[Change]:
        """Return the changes that make the comparison fail."""
        return [change for change in self.changes if change.kind in FAILING_KINDS]


def compare_with_baseline(
    now: ScenarioBaseline, then: ScenarioBaseline | None, *, tolerance: float, leak_tolerance: int = 0
) -> BaselineComparison:
    """Compare one scenario with its baseline.

    *tolerance* is the largest ratio of discard costs that is no regression. *leak_tolerance* is the number of
    bytes that a variant may leak beyond its baseline. It holds for variants that leak in the baseline only.
    """
    return BaselineComparison(now, then, tuple(_changes(now, then, tolerance, leak_tolerance)))


def differing_environment(now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    """Return each difference of the environment in words, since it may explain other numbers."""
    return [
        f"{name}: {now.get(name, 'none')}, in the baseline {then.get(name, 'none')}"
        for name in {**now, **then}
        if now.get(name) != then.get(name)
    ]


def _changes(
    now: ScenarioBaseline, then: ScenarioBaseline | None, tolerance: float, leak_tolerance: int
) -> Iterator[Change]:
    if then is None:
        yield Change(ChangeKind.NOTE, now.name, "", "not in the baseline")
        for variant in now.variants:
            yield from _unknown_asserts(now, variant)
        return
    if then.rig != now.rig:
        text = f"the baseline ran on rig {then.rig}, this run on {now.rig}: discard costs are not compared"
        yield Change(ChangeKind.NOTE, now.name, "", text)
    if then.sha256 != now.sha256:
        yield Change(
            ChangeKind.NOTE, now.name, "", "the scenario's file has changed since the baseline was saved"
        )
    before = {variant.name: variant for variant in then.variants}
    for variant in now.variants:
        known = before.pop(variant.name, None)
        if known is None:
            yield Change(ChangeKind.NOTE, now.name, variant.name, "not in the baseline")
            yield from _unknown_asserts(now, variant)
            continue
        found = [
            *_leak_changes(variant, known, leak_tolerance if known.most_leaked else 0),
            *_assert_changes(variant, known),
            *_speed_changes(now, then, variant, known, tolerance),
        ]
        for kind, text in found:
            yield Change(kind, now.name, variant.name, text)
    for name in before:
        yield Change(ChangeKind.NOTE, now.name, name, "in the baseline, but not run now")


def _unknown_asserts(now: ScenarioBaseline, variant: VariantBaseline) -> Iterator[Change]:
    for broken in variant.broken:
        yield Change(ChangeKind.BROKEN, now.name, variant.name, f"fails: {broken}")


def _leak_changes(
    now: VariantBaseline, then: VariantBaseline, tolerance: int
) -> Iterator[tuple[ChangeKind, str]]:
    if now.most_leaked > then.most_leaked + tolerance:
        more = now.most_leaked - then.most_leaked
        owners = "; ".join(
            f"{snapshot}: {lost - then.leaked_by.get(snapshot, 0)} more"
            for snapshot, lost in sorted(now.leaked_by.items())
            if lost > then.leaked_by.get(snapshot, 0)
        )
        amounts = f"{format_size(now.most_leaked)} leaked, {format_size(then.most_leaked)} before"
        # Each snapshot may have leaked as much in some round of the baseline, but not all in the same round.
        owners = owners or "no snapshot leaked more than in some earlier round"
        yield ChangeKind.LEAK, f"{amounts}: {more} bytes more ({owners})"
    elif now.most_leaked + tolerance < then.least_leaked:
        less = then.least_leaked - now.most_leaked
        yield ChangeKind.BETTER, f"leaks {less} bytes less"


def _assert_changes(now: VariantBaseline, then: VariantBaseline) -> Iterator[tuple[ChangeKind, str]]:
    for broken in sorted(set(now.broken) - set(then.broken)):
        yield ChangeKind.BROKEN, f"fails now, held before: {broken}"
    for held in sorted(set(then.broken) - set(now.broken)):
        yield ChangeKind.BETTER, f"holds now, failed before: {held}"


def _speed_changes(
    now: ScenarioBaseline,
    then: ScenarioBaseline,
    variant: VariantBaseline,
    known: VariantBaseline,
    tolerance: float,
) -> Iterator[tuple[ChangeKind, str]]:
    ratio = speed_ratio(now, then, variant, known)
    if ratio is None or 1 / tolerance <= ratio <= tolerance:
        return
    text = (
        f"discards take {variant.discard_seconds:.2f} s, {known.discard_seconds:.2f} s before; "
        f"a fixed work {now.machine_seconds * 1e3:.2f} ms, {then.machine_seconds * 1e3:.2f} ms before: "
        f"a ratio of {ratio:.2f}"
    )
    if ratio > tolerance:
        yield ChangeKind.SLOWER, f"{text}, more than {tolerance:g}"
    else:
        yield ChangeKind.BETTER, text


def speed_ratio(
    now: ScenarioBaseline, then: ScenarioBaseline, variant: VariantBaseline, known: VariantBaseline
) -> float | None:
    """Return the ratio of discard costs, now to then. Each cost is a multiple of the fixed work's time.

    None if both are too short to compare, or if the rig or the number of discards differs.
    """
    seconds, before = variant.discard_seconds, known.discard_seconds
    if now.rig != then.rig or variant.discards != known.discards or max(seconds, before) <= SHORTEST:
        return None
    return (max(seconds, SHORTEST) / now.machine_seconds) / (max(before, SHORTEST) / then.machine_seconds)

"""`suites_of` returns the JUnit suites of a comparison: one per scenario, with cases per variant. Pure."""

from collections.abc import Iterator

from thinsim.regression.comparison import (
    Change,
    ChangeKind,
    ComparisonResult,
    ScenarioComparison,
    VariantComparison,
)
from thinsim.regression.speed import SpeedVerdict
from thinsim.report.junit import TestCase

_Suite = tuple[str, float, list[TestCase]]


def suites_of(result: ComparisonResult, begun: float) -> list[_Suite]:
    """Return a suite per compared scenario, per scenario that failed, and per missing one.

    After an interruption, one more suite has that as its error. *begun* is the start, in seconds since the
    epoch.
    """
    interrupted = "a signal interrupted the command, so later rounds are missing"
    return [
        *([("thinsim ci", begun, [TestCase("ran", error=interrupted)])] if result.interrupted else []),
        *((each.now.name, begun, list(_cases(each))) for each in result.comparisons),
        *((name, begun, [TestCase("ran", error=why)]) for name, why in result.failed.items()),
        *((name, begun, [TestCase("ran", skipped="allowed to be missing")]) for name in result.missing),
    ]


def _cases(comparison: ScenarioComparison) -> Iterator[TestCase]:
    for change in comparison.own_changes:
        if change.kind is ChangeKind.NEW:
            yield _of_change("in the baseline", change)
        if change.kind is ChangeKind.MISSING:
            yield _of_change(f"{change.variant}: ran", change)
    for each in comparison.variants:
        yield from _variant_cases(each)


def _variant_cases(each: VariantComparison) -> Iterator[TestCase]:
    name, is_new = each.now.name, each.then is None
    yield TestCase(f"{name}: ran", _text(each, ChangeKind.NEW), seconds=each.now.seconds)
    leaks = _text(each, ChangeKind.LEAK) or _text(each, ChangeKind.INCOMPARABLE)
    skipped = "" if leaks or each.leaks_compared else _why_not(each)
    yield TestCase(f"{name}: {ChangeKind.LEAK}", leaks, skipped=skipped)
    broken = _text(each, ChangeKind.BROKEN)
    yield TestCase(f"{name}: {ChangeKind.BROKEN}", broken)
    slower = _text(each, ChangeKind.SLOWER)
    untold = each.speed.verdict in (SpeedVerdict.NOT_COMPARED, SpeedVerdict.CANT_TELL)
    why = f"{each.speed.verdict}: {each.speed.reason}" if untold else ""
    yield TestCase(f"{name}: {ChangeKind.SLOWER}", slower, skipped="not in the baseline" if is_new else why)


def _text(each: VariantComparison, kind: ChangeKind) -> str:
    return "; ".join(change.text for change in each.failures(kind))


def _why_not(each: VariantComparison) -> str:
    if each.then is None:
        return "not in the baseline"
    return next(change.text for change in each.changes if change.kind is ChangeKind.INCOMPARABLE)


def _of_change(name: str, change: Change) -> TestCase:
    return TestCase(name, change.text) if change.fails else TestCase(name, skipped=f"allowed: {change.text}")

"""A comparison becomes Markdown here, for the summary page of a CI job. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from thinsim.regression.comparison import (
    FAILING_KINDS,
    ChangeKind,
    ComparisonResult,
    ScenarioComparison,
    VariantComparison,
)
from thinsim.regression.speed import SpeedComparison, SpeedVerdict
from thinsim.regression.tolerances import Tolerances
from thinsim.units import format_size


def markdown(result: ComparisonResult) -> str:
    """Return the verdict, a table with a row per variant, then every change and difference in words."""
    comparisons, failed, missing = result.comparisons, result.failed, result.missing
    lines = [f"### thinsim: {_verdict(result)}", ""]
    lines += ["| scenario | variant | rig | leaked | baseline | discard cost | |"]
    lines += ["|---|---|---|--:|--:|--:|---|"]
    for each in comparisons:
        lines += [_row(_cells(each, variant)) for variant in each.variants]
        gone = [change for change in each.own_changes if change.kind is ChangeKind.MISSING]
        lines += [_row([each.now.name, change.variant, "", "", "", "", change.mark]) for change in gone]
    lines += [_row([name, "", "", "", "", "", "error"]) for name in failed]
    lines += [_row([name, "", "", "", "", "", "missing (allowed)"]) for name in missing]
    lines += ["", " ".join([_explanation(result.tolerances), *map(_cell, result.data_planes)])]
    details = [*_errors(failed), *_changes(comparisons)]
    details += [f"- environment: {_cell(text)}" for text in result.differences]
    return "\n".join([*lines, *([""] if details else []), *details]) + "\n"


def could_not_run(why: str) -> str:
    """Return the summary of a job in which no scenario could run, with the reason."""
    return f"### thinsim: nothing was compared\n\n- **error**: {_cell(why)}\n"


def _verdict(result: ComparisonResult) -> str:
    words = []
    failures = [change for each in result.comparisons for change in each.failures]
    if result.interrupted:
        words.append("interrupted, incomplete")
    if result.failed:
        words.append(f"{len(result.failed)} could not run")
    regressions = sum(change.kind in FAILING_KINDS[:3] for change in failures)
    others = len(failures) - regressions
    if regressions:
        words.append(f"{regressions} regression{'s' if regressions > 1 else ''}")
    if others:
        words.append(f"{others} not compared")
    return ", ".join(words) or "no regression"


def _cells(each: ScenarioComparison, variant: VariantComparison) -> list[str]:
    bad = list(dict.fromkeys(change.mark for change in variant.changes if change.fails))
    if each.then is None and each.failures:
        bad = list(dict.fromkeys([*bad, str(ChangeKind.NEW)]))
    now, then = variant.now, variant.then
    block = each.now.block_bytes
    return [
        each.now.name,
        now.name,
        each.now.rig,
        format_size(now.most_blocks * block),
        "" if then is None or each.then is None else format_size(then.most_blocks * each.then.block_bytes),
        _speed(variant.speed),
        ", ".join(bad) or ("ok" if then else f"{ChangeKind.NEW} (allowed)"),
    ]


def _speed(speed: SpeedComparison) -> str:
    if speed.verdict is SpeedVerdict.NOT_COMPARED:
        return str(speed.verdict)
    ratio = f"{speed.ratio:.2f} ({speed.low:.2f} to {speed.high:.2f})"
    return f"{ratio}, {speed.verdict}" if speed.verdict is SpeedVerdict.CANT_TELL else ratio


def _explanation(tolerances: Tolerances) -> str:
    leaks = "Leaks are compared by data block and by snapshot"
    if tolerances.leak.amount:
        leaks += f", with a tolerance of {tolerances.leak.text} where something leaked before"
    if not tolerances.compare_speed:
        return f"{leaks}. Speed is not compared."
    return (
        f"{leaks}. The discard cost is the ratio to the baseline's and the interval that holds it; "
        f"the tolerance is {tolerances.speed:g}."
    )


def _errors(failed: Mapping[str, str]) -> Iterator[str]:
    return (f"- **error**: {_cell(name)}: {_cell(why)}" for name, why in failed.items())


def _changes(comparisons: Sequence[ScenarioComparison]) -> Iterator[str]:
    for each in comparisons:
        for change in each.changes:
            mark = "**" if change.fails else ""
            where = _cell(" / ".join(filter(None, (each.now.name, change.variant))))
            yield f"- {mark}{change.mark}{mark}: {where}: {_cell(change.text)}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

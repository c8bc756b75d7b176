"""A comparison becomes Markdown here, for the summary page of a CI job."""

from collections.abc import Iterator, Mapping, Sequence

from thinsim.regression.baseline import VariantBaseline
from thinsim.regression.comparison import BaselineComparison, ChangeKind, speed_ratio
from thinsim.units import format_size


def markdown(
    comparisons: Sequence[BaselineComparison],
    *,
    tolerance: float,
    leak_tolerance: int = 0,
    differences: Sequence[str] = (),
    failed: Mapping[str, str] | None = None,
) -> str:
    """Return a table of all variants, then every change and every difference of the environment.

    *failed* maps the name of each scenario that could not run to the reason.
    """
    if not comparisons:
        return could_not_run(failed or {})
    return "\n".join(_lines(comparisons, tolerance, leak_tolerance, differences, failed or {})) + "\n"


def could_not_run(failed: Mapping[str, str]) -> str:
    """Return the summary of a job that compared nothing, with the reasons."""
    return "\n".join(["### thinsim: nothing was compared", "", *_errors(failed)]) + "\n"


def _errors(failed: Mapping[str, str]) -> Iterator[str]:
    return (f"- **error**: {_cell(name)}: {_cell(why)}" for name, why in failed.items())


def _lines(
    comparisons: Sequence[BaselineComparison],
    tolerance: float,
    leak_tolerance: int,
    differences: Sequence[str],
    failed: Mapping[str, str],
) -> Iterator[str]:
    failures = [change for each in comparisons for change in each.failures]
    verdicts = [f"{len(failed)} could not run"] if failed else []
    if failures or not failed:
        plural = "s" if len(failures) > 1 else ""
        verdicts.append(f"{len(failures)} regression{plural}" if failures else "no regression")
    yield "### thinsim: " + ", ".join(verdicts)
    yield ""
    yield "| scenario | variant | rig | leaked | baseline | discard cost against baseline | |"
    yield "|---|---|---|--:|--:|--:|---|"
    for each in comparisons:
        before = {variant.name: variant for variant in each.then.variants} if each.then else {}
        for variant in each.now.variants:
            then = before.get(variant.name)
            bad = [change.kind for change in each.failures if change.variant == variant.name]
            verdict = ", ".join(bad) if bad else "ok" if then else "new"
            cells = [each.now.name, variant.name, each.now.rig, format_size(variant.most_leaked)]
            yield _row([*cells, *_before(each, variant, then), verdict])
    yield ""
    leaks = "to the byte"
    if leak_tolerance:
        leaks += f" where nothing leaked, else with a tolerance of {format_size(leak_tolerance)}"
    yield f"Leaks are compared {leaks}; discard costs with a tolerance of {tolerance:g}."
    changes = [change for each in comparisons for change in each.changes]
    if changes or differences or failed:
        yield ""
    yield from _errors(failed)
    for change in changes:
        mark = "**" if change.kind in (ChangeKind.LEAK, ChangeKind.BROKEN, ChangeKind.SLOWER) else ""
        where = _cell(" / ".join(filter(None, (change.scenario, change.variant))))
        yield f"- {mark}{change.kind}{mark}: {where}: {_cell(change.text)}"
    yield from (f"- environment: {_cell(text)}" for text in differences)


def _before(comparison: BaselineComparison, now: VariantBaseline, then: VariantBaseline | None) -> list[str]:
    if then is None or comparison.then is None:
        return ["", ""]
    ratio = speed_ratio(comparison.now, comparison.then, now, then)
    return [format_size(then.most_leaked), f"{ratio:.2f}" if ratio is not None else "not compared"]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

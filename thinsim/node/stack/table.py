"""`heights_table` and `trial_table` make tables of a report, and `summary` makes sentences. Pure."""

from collections.abc import Callable, Iterator, Sequence

from rich.table import Table

from thinsim.node.stack.height import DeviceLimits, StackHeight
from thinsim.node.stack.probe import Probe
from thinsim.node.stack.report import HeightsReport
from thinsim.node.stack.trial import Trial
from thinsim.units import format_size

_RELEVANT = ("ro", "discard", "nodiscard", "ignore_discard", "no_discard_passdown", "allow_discards")


def _limit(of: Callable[[DeviceLimits], int]) -> Callable[[StackHeight], int | None]:
    return lambda height: None if height.limits is None else of(height.limits)


_SIZES: Sequence[tuple[str, Callable[[StackHeight], int | None]]] = (
    ("size", lambda height: height.size),
    ("allocated", lambda height: height.held),
    ("logical block", _limit(lambda limits: limits.logical_block)),
    ("granularity", _limit(lambda limits: limits.granularity)),
    ("alignment", lambda height: (height.limits.alignment or None) if height.limits else None),
    ("largest", _limit(lambda limits: limits.max_bytes)),
    ("unit", lambda height: height.pool_block or (height.unit if height.unit > 1 else None)),
)
"""The columns of sizes. A column without any size is left out."""


def heights_table(heights: Sequence[StackHeight]) -> Table:
    """Return a table with one row per height, from the top."""
    sizes = [(name, of) for name, of in _SIZES if any(of(height) is not None for height in heights)]
    table = Table(box=None, pad_edge=False)
    for heading in ("", "height", "name"):
        table.add_column(heading, justify="left" if heading else "right")
    for heading, _ in sizes:
        table.add_column(heading, justify="right")
    for heading in ("options", "discards", "on"):
        table.add_column(heading)
    for number, height in enumerate(heights):
        table.add_row(
            str(number),
            _kind(height),
            _name(height),
            *(_size(of(height)) for _, of in sizes),
            ", ".join(_options(height)),
            "pass" if height.passes else "die",
            ", ".join(str(lower.height) for lower in height.below),
        )
    return table


def trial_table(heights: Sequence[StackHeight], trial: Trial) -> Table:
    """Return a table with the effects of *trial* at the heights that have counts."""
    extents = "extent" if trial.extents == 1 else "extents"
    least = f", fstrim -m {trial.minimum}" if trial.minimum else ""
    table = Table(
        box=None,
        pad_edge=False,
        title=f"file of {format_size(trial.size)} in {trial.extents} {extents}{least}",
        title_justify="left",
    )
    at_once = any(effect.at_once for effect in trial.effects)
    counts = ("discards", "arrived", *(["before fstrim"] if at_once else []), "freed")
    for heading in ("", "height", "name", *counts):
        table.add_column(heading, justify="left" if heading in ("height", "name") else "right")
    for effect in trial.effects:
        height = heights[effect.height]
        requests = "" if effect.requests is None else str(effect.requests)
        sizes = (effect.arrived, *([effect.at_once] if at_once else []), effect.freed)
        table.add_row(str(effect.height), _kind(height), _name(height), requests, *map(_size, sizes))
    return table


def summary(report: HeightsReport) -> Iterator[str]:
    """Yield sentences: remarks, the heights at which discards die, and the sizes that live."""
    heights, least = report.heights, report.least
    for number, height in enumerate(heights):
        if height.note:
            yield f"Height {number}, {_kind(height)} {height.name}: {height.note}."
    for number in report.dies_at:
        yield f"Discards die at {_place(heights, number)}: {heights[number].reason}."
    if least is None:
        return
    certain, aligned = format_size(least.certain), format_size(least.aligned)
    live = f"Discards of {certain} and more live to the lowest height"
    if certain == aligned:
        yield f"{live}."
    else:
        limit = f"the largest unit is that of {_place(heights, least.limited_by)}"
        yield f"{live}; those from {aligned} on live only if they are aligned, because {limit}."


def trial_summary(heights: Sequence[StackHeight], trial: Trial) -> str:
    """Return a sentence on the end of *trial*."""
    if trial.death is None:
        last = trial.effects[-1].height if trial.effects else 0
        return f"The discards arrived at {_place(heights, last)}."
    return f"The discards died at {_place(heights, trial.death.height)}: {trial.death.reason}."


def probe_summary(probe: Probe) -> Iterator[str]:
    """Yield a sentence on the size that lived, if the first trial's did not."""
    if probe.trials[0].death is None:
        return
    if probe.smallest_that_lived is None:
        yield "No trial's discards lived."
    else:
        yield f"A file of {format_size(probe.smallest_that_lived)} would have lived, as a trial shows."


def _kind(height: StackHeight) -> str:
    """Return the kind of a height, with the type of a file system or of an unusual target."""
    return (
        height.kind.value if height.type in ("", height.kind.value) else f"{height.kind.value} {height.type}"
    )


def _name(height: StackHeight) -> str:
    return f"{height.name} ({height.volume})" if height.volume else height.name


def _place(heights: Sequence[StackHeight], number: int) -> str:
    return f"height {number}, {_kind(heights[number])} {heights[number].name}"


def _options(height: StackHeight) -> list[str]:
    """Return the options that decide about discards."""
    return [option for option in height.options if option.split("=")[0] in _RELEVANT]


def _size(size: int | None) -> str:
    return "" if size is None else format_size(size)

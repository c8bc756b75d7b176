"""Puts the page together: numbers and plots of a report into ``page.html.j2``."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from thinsim.measure.attribution import Leak
from thinsim.report.document import Report, VariantRun
from thinsim.report.html.discards import discards_plot, heat_map, hottest, punches
from thinsim.report.html.space import heights_over_time, space_plot
from thinsim.report.html.svg import Band
from thinsim.report.phase_table import phase_cells
from thinsim.units import format_size

_BESIDE = 2


@dataclass(frozen=True, slots=True)
class LeakRow:
    """One line of the leak table; *share* of the largest, 0 to 100."""

    leak: Leak
    share: float


def render(report: Report) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("thinsim.report.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["size"] = format_size
    environment.filters["date"] = _date
    template = environment.get_template("page.html.j2")
    return template.render(
        report=report,
        compared=_compared(report),
        runs=[_run(report, run, number) for number, run in enumerate(report.runs, 1)],
    )


def _compared(report: Report) -> list[dict[str, Any]]:
    """Return the phase table, as many runs beside one another as a page is wide: names, and rows of cells."""
    block_bytes = report.pool.block_bytes
    return [
        {
            "names": [run.name for run in beside],
            "rows": [
                (phase, [phase_cells(run.samples, phase, block_bytes) for run in beside])
                for phase in report.phases
            ],
        }
        for beside in (report.runs[start : start + _BESIDE] for start in range(0, len(report.runs), _BESIDE))
    ]


def _run(report: Report, run: VariantRun, number: int) -> dict[str, Any]:
    phases = bands_of(run)
    # Sample times count from the meter's start, event times from the epoch.
    found = punches(run.events, run.started)
    end = max([_highest(run, report.pool.block_bytes), *(punch.offset + punch.length for punch in found)])
    largest = max((leak.bytes for leak in run.leaks), default=0)
    return {
        "number": number,
        "run": run,
        "phases": phases,
        "heights": heights_over_time(run.samples, report.pool.block_bytes),
        "space": Markup(space_plot(run.samples, report.pool.block_bytes, phases)),
        "discards": Markup(discards_plot(found, phases)),
        "heat": Markup(heat_map(found, end, phases)),
        "hottest": hottest(found, end, phases),
        "punches": found,
        "freed": sum(punch.freed for punch in found),
        "asked": sum(punch.length for punch in found),
        "leaks": [LeakRow(leak, 100 * leak.bytes / largest) for leak in run.leaks],
        "held": sum(outcome.held for outcome in run.outcomes),
    }


def _date(seconds: float) -> str:
    """Return seconds since the epoch for people, who may read the page in another time zone."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def bands_of(run: VariantRun) -> list[Band]:
    """Return the phases that took steps, each from its first step's begin to its last one's end."""
    found: list[Band] = []
    for number, (name, samples) in enumerate(groupby(run.samples, key=lambda sample: sample.phase), 1):
        of_phase = list(samples)
        start = found[-1].end if found else 0.0
        found.append(Band(number, name, start, of_phase[-1].at))
    return found


def _highest(run: VariantRun, block_bytes: int) -> int:
    """Return about where the used part of the data file ends: blocks are given out in ascending order."""
    return max((sample.pool_used_blocks * block_bytes for sample in run.samples), default=block_bytes)

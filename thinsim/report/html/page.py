"""`render` fills ``page.html.j2`` with the numbers and plots of a report."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from thinsim.measure.attribution import Leak
from thinsim.report.document import Report, VariantRun
from thinsim.report.html.discards import discards_plot, heat_map, hottest, punches
from thinsim.report.html.space import heights_over_time, space_plot
from thinsim.report.html.svg import Band
from thinsim.report.html.templates import environment
from thinsim.report.leak_words import leak_parts
from thinsim.report.phase_table import phase_cells

_BESIDE = 2


@dataclass(frozen=True, slots=True)
class LeakRow:
    """A `LeakRow` is one line of the leak table; *share* is the percentage of the largest leak."""

    leak: Leak
    share: float


def render(report: Report) -> str:
    """Return the HTML page of *report*."""
    template = environment().get_template("page.html.j2")
    return template.render(
        report=report,
        cut_short=report.cut_short_lines,
        compared=_compared(report),
        runs=[_run(report, run, number) for number, run in enumerate(report.runs, 1)],
    )


def _compared(report: Report) -> list[dict[str, Any]]:
    """Return the phase tables: each has the names and cells of as many runs as fit side by side on a page."""
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
    # Times of samples count from the meter's start, times of events from the epoch.
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
        "parts": leak_parts(run.leaks, run.fs_type),
        "held": sum(outcome.held for outcome in run.outcomes),
    }


def bands_of(run: VariantRun) -> list[Band]:
    """Return the phases with steps, each from the begin of its first step to the end of its last one."""
    found: list[Band] = []
    for number, (name, samples) in enumerate(groupby(run.samples, key=lambda sample: sample.phase), 1):
        of_phase = list(samples)
        start = found[-1].end if found else 0.0
        found.append(Band(number, name, start, of_phase[-1].at))
    return found


def _highest(run: VariantRun, block_bytes: int) -> int:
    """Return about the end of the used part of the data file: blocks are allocated in ascending order."""
    return max((sample.pool_used_blocks * block_bytes for sample in run.samples), default=block_bytes)

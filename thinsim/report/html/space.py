"""`space_plot` draws the space in use over time, by the accounts of host, store, pool and snapshotter."""

from collections.abc import Sequence
from dataclasses import dataclass

from thinsim.measure.sample import StepSample
from thinsim.report.html.svg import Band, Frame, TimeScale, bands, drawing, size_axis, time_axis

HEIGHT = 330


@dataclass(frozen=True, slots=True)
class Height:
    """A `Height` is one line of the plot: its CSS class, its name, and a value in bytes per sample."""

    kind: str
    name: str
    values: Sequence[int]


def heights_over_time(samples: Sequence[StepSample], block_bytes: int) -> list[Height]:
    """Return the lines of the plot, from the host up to the snapshotter."""
    held, balance = 0, []
    for sample in samples:
        held += sample.host_grown - sample.ledger_freed
        balance.append(held)
    # containerd itself reports no usage to thinsim.
    usage = [max(0, sum(sample.usage.values())) for sample in samples]
    core = [Height("core", "snapshotter: usage of all snapshots", usage)]
    return [
        Height("host", "host: allocated bytes, by its own account", [s.host_allocated for s in samples]),
        Height("store", "store: bytes grown minus bytes freed, by its ledger", balance),
        Height("pool", "pool: used data blocks", [s.pool_used_blocks * block_bytes for s in samples]),
        *(core if any(usage) else []),
    ]


def space_plot(samples: Sequence[StepSample], block_bytes: int, phases: Sequence[Band]) -> str:
    """Return the plot: an area for the host's bytes, its upper part leaked, and a line per height."""
    lines = {line.kind: line for line in heights_over_time(samples, block_bytes)}
    top = max((value for line in lines.values() for value in line.values), default=0) * 1.06 or 1
    frame = Frame(TimeScale.of(phases), top, HEIGHT)
    needed = [sample.host_allocated - sample.leaked for sample in samples]
    parts = [
        *bands(frame, phases),
        _area(frame, samples, "held", needed, [0] * len(samples)),
        _area(frame, samples, "leaked", lines["host"].values, needed),
        *size_axis(frame),
        *time_axis(frame),
    ]
    # The line of the store equals the host's, unless a measurement is wrong, so it is dots on top of it.
    for kind in [each for each in ("host", "pool", "core", "store") if each in lines]:
        points = _points(frame, samples, lines[kind].values)
        parts.append(f'<polyline class="line {kind}" points="{_text(points)}"/>')
    return drawing(HEIGHT, "Space over time", parts)


def _area(
    frame: Frame, samples: Sequence[StepSample], kind: str, upper: Sequence[int], lower: Sequence[int]
) -> str:
    outline = [*_points(frame, samples, upper), *reversed(_points(frame, samples, lower))]
    return f'<polygon class="{kind}" points="{_text(outline)}"/>'


def _points(frame: Frame, samples: Sequence[StepSample], values: Sequence[int]) -> list[tuple[float, float]]:
    """Return a line that rises or falls during each step and is flat between steps."""
    points, before = [(0.0, 0)], 0
    for sample, value in zip(samples, values, strict=True):
        points += [(max(0.0, sample.at - sample.seconds), before), (sample.at, value)]
        before = value
    return [(frame.x(at), frame.y(value)) for at, value in points]


def _text(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)

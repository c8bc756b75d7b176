"""Space over time at every height: what the host, the store, the pool and the snapshotter say is in use."""

from collections.abc import Sequence
from dataclasses import dataclass

from thinsim.measure.sample import StepSample
from thinsim.report.html.svg import Band, Frame, bands, drawing, size_axis, time_axis

HEIGHT = 330


@dataclass(frozen=True, slots=True)
class Height:
    """One line: its CSS class, its name, and a value per sample, bytes."""

    kind: str
    name: str
    values: Sequence[int]


def heights(samples: Sequence[StepSample], block_bytes: int) -> list[Height]:
    """Return the lines, the highest place in the stack last, so that it is drawn on top."""
    held, balance = 0, []
    for sample in samples:
        held += sample.host_grown - sample.ledger_freed
        balance.append(held)
    return [
        Height("host", "host: bytes allocated, by its own extent map", [s.host_allocated for s in samples]),
        Height("store", "store: bytes grown less bytes given back, by its ledger", balance),
        Height("pool", "pool: used data blocks", [s.pool_used_blocks * block_bytes for s in samples]),
        Height(
            "core", "snapshotter: usage of all snapshots", [max(0, sum(s.usage.values())) for s in samples]
        ),
    ]


def space_plot(samples: Sequence[StepSample], block_bytes: int, phases: Sequence[Band]) -> str:
    """Return the plot; what leaked is the area below its own line."""
    lines = heights(samples, block_bytes)
    leaked = Height("leaked", "leaked", [sample.leaked for sample in samples])
    top = max((value for line in [*lines, leaked] for value in line.values), default=0) * 1.06 or 1
    frame = Frame(samples[-1].at if samples else 0, top, HEIGHT)
    parts = [*bands(frame, phases), *size_axis(frame), *time_axis(frame)]
    if any(leaked.values):
        points = _points(frame, samples, leaked.values)
        base = f"{frame.x(frame.seconds):.1f},{frame.y(0):.1f} {frame.x(0):.1f},{frame.y(0):.1f}"
        parts.append(f'<polygon class="leaked" points="{points} {base}"/>')
    parts += [
        f'<polyline class="line {line.kind}" points="{_points(frame, samples, line.values)}"/>'
        for line in lines
    ]
    return drawing(HEIGHT, "Space over time", parts)


def _points(frame: Frame, samples: Sequence[StepSample], values: Sequence[int]) -> str:
    """Return a line of ramps: a step moves space from its begin to its end, what lies between is flat."""
    points, before = [(0.0, 0)], 0
    for sample, value in zip(samples, values, strict=True):
        points += [(max(0.0, sample.at - sample.seconds), before), (sample.at, value)]
        before = value
    return " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value in points)

"""`figures_of` returns the figures of one run of a contender, one per row. Pure."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from thinsim.benchmark.command_contender import CommandCost
from thinsim.benchmark.costs import CONTAINERD, DEVICE_MAPPER, STORE, THINSIM, Costs
from thinsim.benchmark.rounds import FigureRow
from thinsim.measure.sample import StepSample
from thinsim.scenario.container_lifecycle import LifecyclePhase, LifecycleResult

_MEBIBYTE = 1 << 20
_ROLES = (THINSIM, STORE, DEVICE_MAPPER, CONTAINERD)
_REMOVALS = (LifecyclePhase.REMOVE_CONTAINER, LifecyclePhase.REMOVE_IMAGE)

_Samples = Sequence[StepSample]

_TOTAL = FigureRow("total time", "s", False)

_OF_SAMPLES: Mapping[FigureRow, Callable[[_Samples], float | None]] = {
    FigureRow("prepare a snapshot", "ms", False): lambda samples: _each(samples, "prepare "),
    FigureRow("commit a snapshot", "ms", False): lambda samples: _each(samples, "commit "),
    FigureRow("remove a committed snapshot", "ms", False): lambda samples: _each(samples, "remove layer"),
    FigureRow("import the image", "s", False): lambda samples: _phase(samples, LifecyclePhase.IMPORT),
    FigureRow("run the container", "s", False): lambda samples: _phase(samples, LifecyclePhase.RUN),
    FigureRow("remove the container", "s", False): lambda samples: _phase(
        samples, LifecyclePhase.REMOVE_CONTAINER
    ),
    FigureRow("remove the image", "s", False): lambda samples: _phase(samples, LifecyclePhase.REMOVE_IMAGE),
    _TOTAL: lambda samples: sum(sample.seconds for sample in samples),
    FigureRow("container's writes", "MiB/s"): lambda samples: _rate(
        [(sample.written, sample.seconds) for sample in samples if sample.phase == LifecyclePhase.RUN]
    ),
    FigureRow("freed by removals", "MiB/s"): lambda samples: _rate(
        [
            (sample.host_freed, sample.seconds)
            for sample in samples
            if sample.phase in _REMOVALS and sample.host_freed
        ]
    ),
    FigureRow("written to the data device", "MiB", False): lambda samples: (
        sum(sample.written for sample in samples) / _MEBIBYTE
    ),
    FigureRow("hole punches", "", False): lambda samples: float(
        sum(sample.ledger_punches for sample in samples)
    ),
}
_CPU = FigureRow("processor time, all processes", "s", False)
_USER = FigureRow("in user mode, all processes", "s", False)
_SYSTEM = FigureRow("in the kernel, all processes", "s", False)
_CPU_OF = {role: FigureRow(f"processor time, {role}", "s", False) for role in _ROLES}
_MEMORY_OF = {role: FigureRow(f"peak memory, {role}", "MiB", False) for role in _ROLES}
_MEMORY_OF_COMMAND = FigureRow("peak memory, command", "MiB", False)
_READ_BY = {role: FigureRow(f"read by {role}", "MiB", False) for role in _ROLES}
_WRITTEN_BY = {role: FigureRow(f"written by {role}", "MiB", False) for role in _ROLES}

ROWS: Sequence[FigureRow] = (
    *_OF_SAMPLES,
    _CPU,
    _USER,
    _SYSTEM,
    *(row for of_role in (_CPU_OF, _MEMORY_OF, _READ_BY, _WRITTEN_BY) for row in of_role.values()),
    _MEMORY_OF_COMMAND,
)


def figures_of(run: LifecycleResult, costs: Costs) -> dict[FigureRow, float | None]:
    """Return a figure for every row; None if the run does not have the row."""
    found: dict[FigureRow, float | None] = dict.fromkeys(ROWS)
    found |= {row: of(run.samples) for row, of in _OF_SAMPLES.items()}
    found[_CPU], found[_USER], found[_SYSTEM] = costs.cpu, costs.user, costs.system
    for role in _ROLES:
        cost = costs.by_role.get(role)
        found[_CPU_OF[role]] = None if cost is None else cost.cpu
        found[_MEMORY_OF[role]] = None if cost is None else cost.memory / _MEBIBYTE
        found[_READ_BY[role]] = None if cost is None else cost.read / _MEBIBYTE
        found[_WRITTEN_BY[role]] = None if cost is None else cost.written / _MEBIBYTE
    return found


def figures_of_command(cost: CommandCost) -> dict[FigureRow, float | None]:
    """Return a figure for every row; None for the rows that a command does not have."""
    return dict.fromkeys(ROWS) | {
        _TOTAL: cost.seconds,
        _CPU: cost.user + cost.system,
        _USER: cost.user,
        _SYSTEM: cost.system,
        _MEMORY_OF_COMMAND: cost.memory / _MEBIBYTE,
    }


def _each(samples: _Samples, begins: str) -> float | None:
    """Return the median time of the steps whose names begin with *begins*, in milliseconds."""
    seconds = [sample.seconds for sample in samples if sample.step.startswith(begins)]
    return statistics.median(seconds) * 1000 if seconds else None


def _phase(samples: _Samples, phase: str) -> float | None:
    seconds = [sample.seconds for sample in samples if sample.phase == phase]
    return sum(seconds) if seconds else None


def _rate(moved: Sequence[tuple[int, float]]) -> float | None:
    """Return the MiB per second of pairs of bytes and seconds."""
    seconds = sum(each for _, each in moved)
    return sum(size for size, _ in moved) / _MEBIBYTE / seconds if seconds > 0 else None

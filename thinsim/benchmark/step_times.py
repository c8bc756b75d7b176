"""`step_times` collects the times of a run's steps by kind; `summary` has their percentiles. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence

from thinsim.benchmark.document import StepTimes
from thinsim.measure.sample import StepSample

_KINDS: Mapping[str, Callable[[StepSample], bool]] = {
    "prepare a snapshot": lambda sample: sample.step.startswith("prepare "),
    "commit a snapshot": lambda sample: sample.step.startswith("commit "),
    "remove a committed snapshot": lambda sample: sample.step.startswith("remove layer"),
    "steps that punch holes": lambda sample: sample.ledger_punches > 0,
}


def step_times(samples: Sequence[StepSample]) -> dict[str, list[float]]:
    """Return the times of one run's steps by kind, in milliseconds. Kinds without steps are left out."""
    found = {
        kind: [sample.seconds * 1000 for sample in samples if of_kind(sample)]
        for kind, of_kind in _KINDS.items()
    }
    return {kind: times for kind, times in found.items() if times}


def summary(kind: str, contender: str, sizes: str, times: Sequence[float]) -> StepTimes:
    """Return the percentiles of *times*, at least one."""
    return StepTimes(
        step=kind,
        contender=contender,
        sizes=sizes,
        count=len(times),
        p50=sorted(times)[(len(times) - 1) // 2],
        p90=percentile(times, 90),
        p99=percentile(times, 99),
        longest=max(times),
    )


def percentile(times: Sequence[float], percent: int) -> float | None:
    """Return the least time that *percent* % of *times* do not exceed.

    None if the answer would always be the longest time, because there are too few.
    """
    if len(times) * (100 - percent) < 100:
        return None
    return sorted(times)[math.ceil(len(times) * percent / 100) - 1]

"""Identical programs get a false verdict in at most one of 100 tables; a plain change is found."""

import math
import random
from collections.abc import Callable

import pytest

from thinsim.benchmark.comparison import between, within
from thinsim.benchmark.document import Benchmark, Series
from thinsim.benchmark.verdicts import Compared, Verdict

SIZES = "pool 2 GiB"
ROWS = 20
SPREADS = (0.02, 0.04, 0.07, 0.1, 0.15)
CHANGED = "row 1"
"""Its figures scatter by 4 %."""


def simulated(source: random.Random, rounds: int, contenders: int, change: float = 1.0) -> Benchmark:
    """Return figures as a machine gives them: skewed, with drift, and with rows that are slow together.

    *change* is the factor of the last contender in one row.
    """
    drift = [source.gauss(0, 0.05) * (number / rounds - 0.5) for number in range(rounds)]
    slow = [source.gauss(0, 1) for _ in range(rounds)]
    names = [f"contender {number}" for number in range(contenders)]
    series = []
    for row in range(ROWS):
        spread = SPREADS[row % len(SPREADS)]
        for name in names:
            own = [0.6 * common + 0.8 * source.gauss(0, 1) for common in slow]
            factor = change if f"row {row}" == CHANGED and name == names[-1] else 1.0
            series.append(
                Series(
                    row=f"row {row}",
                    unit="s",
                    more_is_better=False,
                    contender=name,
                    sizes=SIZES,
                    figures=[
                        factor * math.exp(spread * each + part) for each, part in zip(own, drift, strict=True)
                    ],
                )
            )
    return Benchmark(
        kind="thinsim bench",
        format=1,
        command="thinsim bench",
        environment={},
        rounds=rounds,
        warm_up=1,
        contenders=names,
        sizes=[SIZES],
        series=series,
    )


def side_by_side(source: random.Random, change: float) -> list[Compared]:
    return within(simulated(source, 10, 3, change))


def before_and_after(source: random.Random, change: float) -> list[Compared]:
    return between(simulated(source, 10, 1), simulated(source, 10, 1, change))


DECIDED = (Verdict.BETTER, Verdict.WORSE)


@pytest.mark.parametrize("judged", [side_by_side, before_and_after])
def test_identical_programs_differ_in_at_most_one_of_a_hundred_tables(
    judged: Callable[[random.Random, float], list[Compared]],
) -> None:
    source = random.Random(2026)
    false = sum(any(each.verdict in DECIDED for each in judged(source, 1.0)) for _ in range(100))
    assert false <= 1


@pytest.mark.parametrize("judged", [side_by_side, before_and_after])
def test_a_change_by_a_third_is_found_with_ten_rounds(
    judged: Callable[[random.Random, float], list[Compared]],
) -> None:
    source = random.Random(1)
    tables = [judged(source, 1.3) for _ in range(10)]
    for table in tables:
        verdicts = {each.row: each.verdict for each in table}  # the last contender's
        assert verdicts.pop(CHANGED) is Verdict.WORSE
        assert not any(verdict in DECIDED for verdict in verdicts.values())

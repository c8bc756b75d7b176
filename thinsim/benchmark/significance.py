"""`paired_chances` and `separate_chances` judge many rows at once by shuffling whole rounds. Pure.

The question is whether chance alone could make one contender slower by more than the least effect. If it were
chance, the two figures of a round could have been the other way round, or a round of one document could have
been a round of the other. So thinsim shuffles the rounds in every such way, and counts how often the greatest
statistic of any row is at least the observed one (the step-down maxT procedure; Westfall and Young,
Resampling-Based Multiple Testing, 1993, algorithm 4.1).

This corrects for the number of rows as Holm's procedure does, but a shuffle moves all rows of a round
together. So rows that are always slow together, such as the phases of a run, count little more than one row.
Holm's procedure would count each, and so could never decide with ten rounds and sixty rows.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, compress, product

CHANCE = 0.025
"""The greatest chance that any verdict of a document is false, if every true change were the least effect.
If nothing changed at all, the chance is below 0.01 (tests/benchmark/test_benchmark_false_verdicts.py)."""

LEAST_EFFECT = 0.05
"""The least change that thinsim calls better or worse, as a share: 0.05 is 5 %."""

SHUFFLES = 2048
"""If there are more shuffles than this, thinsim draws this many of them at random, always the same ones."""

LEAST_PAIRS = 7
"""With fewer rounds of one document, even the greatest difference can be chance: 2^-6 is below `CHANCE`."""

LEAST_ROUNDS_OF_EACH = 5
"""With fewer rounds of each of two documents, even the greatest difference can be chance: 2 of the 252
choices of 5 of 10 rounds are as great."""

_ROUNDING = 1e-9

FAR = 1.5
"""A figure this many times as far out as half of the figures counts as if it were no farther. So a single
disturbed round does not hide a change. `math.inf` leaves every figure as it is."""

_Shuffle = Sequence[bool]
"""The rounds that keep their sign, or that belong to the second document."""


def paired_chances(
    rows: Sequence[Sequence[float]],
    least_effect: float = LEAST_EFFECT,
    shuffles: int = SHUFFLES,
    far: float = FAR,
) -> list[float]:
    """Return a chance per row that it differs so much by chance, corrected for the number of rows.

    Each row has the logarithms of its rounds' ratios. All rows have the same rounds, in the same order.
    """
    margin = math.log1p(least_effect)
    moved = [_reined_in(_towards(row, statistics.median(row), margin), far) for row in rows]
    count = len(rows[0]) if rows else 0
    return _step_down(moved, lambda: _signs(count, shuffles))


def separate_chances(
    rows: Sequence[tuple[Sequence[float], Sequence[float]]],
    least_effect: float = LEAST_EFFECT,
    shuffles: int = SHUFFLES,
    far: float = FAR,
) -> list[float]:
    """Return a chance per row that it differs so much by chance, corrected for the number of rows.

    Each row has the logarithms of the figures of the first document and of the second. All rows have the same
    rounds of each.
    """
    margin = math.log1p(least_effect)
    joined = []
    for first, second in rows:
        shift = statistics.median(second) - statistics.median(first)
        moved = [*first, *_towards(second, shift, margin)]
        joined.append(_without_mean(_reined_in([each - statistics.median(moved) for each in moved], far)))
    counts = (len(rows[0][0]), len(rows[0][1])) if rows else (0, 0)
    return _step_down(joined, lambda: _halves(*counts, shuffles))


def can_decide_in_pairs(rounds: int) -> bool:
    """Return whether any difference in *rounds* rounds of one document can be more than chance allows."""
    return rounds >= LEAST_PAIRS


def can_decide_separately(first: int, second: int) -> bool:
    """Return whether any difference of documents with these rounds can be more than chance allows."""
    return min(first, second) >= LEAST_ROUNDS_OF_EACH


def _towards(row: Sequence[float], middle: float, margin: float) -> list[float]:
    """Return *row* without a change of up to *margin*, so that the rest is a change beyond it."""
    least = min(max(middle, -margin), margin)
    return [each - least for each in row]


def _reined_in(row: Sequence[float], far: float) -> list[float]:
    """Return *row* with the figures that are far out brought closer. The order of rounds changes nothing."""
    most = far * statistics.median(map(abs, row))
    return [min(max(each, -most), most) for each in row] if most else list(row)


def _without_mean(row: Sequence[float]) -> list[float]:
    mean = math.fsum(row) / len(row)
    return [each - mean for each in row]


def _step_down(rows: Sequence[Sequence[float]], shuffles: Callable[[], Iterator[_Shuffle]]) -> list[float]:
    if not rows:
        return []
    every = shuffles()
    shuffled = [_ShuffledRow(row) for row in rows]
    observed = next(every)
    seen = [row.statistic(observed) for row in shuffled]
    order = sorted(range(len(rows)), key=lambda number: seen[number])
    as_great, count = [1] * len(rows), 1
    for shuffle in every:
        count += 1
        greatest = 0.0
        # The rows that differ more are out of the question already, so they are not among the greatest.
        for number in order:
            greatest = max(greatest, shuffled[number].statistic(shuffle))
            if greatest >= seen[number] - _ROUNDING:
                as_great[number] += 1
    chances, highest = [1.0] * len(rows), 0.0
    for number in reversed(order):
        highest = max(highest, as_great[number] / count)
        chances[number] = highest
    return chances


class _ShuffledRow:
    """A `_ShuffledRow` has a statistic per shuffle, which grows with Student's t.

    All shuffles have the same sum of squares, so the sum alone decides. The row has the length 1, so that the
    statistics of all rows are comparable.
    """

    def __init__(self, row: Sequence[float]) -> None:
        length = math.sqrt(math.fsum(each * each for each in row))
        # Rounding leaves a trace of a row that does not differ at all.
        self._row = [each / length for each in row] if length > _ROUNDING else [0.0] * len(row)
        self._sum = math.fsum(self._row)

    def statistic(self, shuffle: _Shuffle) -> float:
        return abs(2 * sum(compress(self._row, shuffle)) - self._sum)


def _signs(count: int, most: int) -> Iterator[_Shuffle]:
    """Yield the observed signs, then all others or *most* of them.

    The first round keeps its sign: with all signs turned, the statistic is the same.
    """
    if 2 ** (count - 1) <= most:
        yield from ((True, *others) for others in product((True, False), repeat=count - 1))
        return
    yield [True] * count
    drawn = random.Random(count)
    for _ in range(most - 1):
        bits = drawn.getrandbits(count)
        yield [bool(bits >> place & 1) for place in range(count)]


def _halves(first: int, second: int, most: int) -> Iterator[_Shuffle]:
    """Yield the observed choice of rounds of the second document, then all others or *most* of them."""
    whole = first + second
    if math.comb(whole, first) <= most:
        for chosen in combinations(range(whole), first):
            yield [place not in chosen for place in range(whole)]
        return
    mask = [False] * first + [True] * second
    yield list(mask)
    drawn = random.Random(whole)
    for _ in range(most - 1):
        drawn.shuffle(mask)
        yield list(mask)

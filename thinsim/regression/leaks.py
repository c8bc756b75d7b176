"""`compare_leaks` compares the data blocks that each snapshot leaked with those of the baseline. Pure.

The blocks are counted, not the bytes: the host decides how many bytes of a block it allocates.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from thinsim.regression.baseline import OwnerLeak, VariantBaseline
from thinsim.units import format_size


@dataclass(frozen=True, slots=True)
class LeakComparison:
    """A `LeakComparison` names the change in *worse*, *better* or *tolerated*; all are empty without one."""

    worse: str = ""
    better: str = ""
    tolerated: str = ""


def compare_leaks(
    now: VariantBaseline, then: VariantBaseline, *, block_bytes: int, tolerance: int
) -> LeakComparison:
    """Compare the leaked blocks of a variant. *tolerance* is in blocks, for variants that leaked before.

    Where the rounds of the baseline differed, their whole range counts as tolerance as well: another round
    may leak as many blocks more as the rounds differed by.
    """
    allowed = (tolerance if then.most_blocks else 0) + then.most_blocks - then.least_blocks
    known = {each.snapshot: each for each in then.leaks}
    grown = list(_grown(now, known, tolerance))
    if now.most_blocks > then.most_blocks + allowed or grown:
        more = now.most_blocks - then.most_blocks
        amounts = (
            f"{_blocks(now.most_blocks)} ({format_size(now.most_blocks * block_bytes)}) leaked, "
            f"{_blocks(then.most_blocks)} before"
        )
        owners = "; ".join(grown) or "no snapshot leaked more than in some earlier round"
        change = f"{_blocks(more)} more" if more > 0 else "other snapshots leak than before"
        return LeakComparison(worse=f"{amounts}: {change} ({owners})")
    if now.most_blocks + allowed < then.least_blocks:
        return LeakComparison(better=f"leaks {_blocks(then.least_blocks - now.most_blocks)} less")
    if now.most_blocks > then.most_blocks:
        extra = _blocks(now.most_blocks - then.most_blocks)
        return LeakComparison(tolerated=f"leaks {extra} more, within the tolerance of {_blocks(allowed)}")
    return LeakComparison()


def _grown(now: VariantBaseline, known: dict[str, OwnerLeak], tolerance: int) -> Iterator[str]:
    for leak in now.leaks:
        before = known.get(leak.snapshot)
        if before is None:
            allowed = most = 0
        else:
            most = before.most_blocks
            allowed = tolerance + most - before.least_blocks
        if leak.most_blocks > most + allowed:
            owner = leak.snapshot or "no snapshot"
            yield f"{owner}: {_blocks(leak.most_blocks - most)} more, {' and '.join(leak.reasons)}"


def _blocks(count: int) -> str:
    return f"{count} data block{'' if count == 1 else 's'}"

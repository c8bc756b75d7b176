"""`candidates` are the runs of free data blocks whose space the host still holds. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from thinsim.ranges import Range, overlap, total
from thinsim.thin.metadata.free_runs import BlockRun


@dataclass(frozen=True, slots=True)
class FreedRun:
    """A `FreedRun` is a run of free blocks; *held* of its bytes are allocated on the host."""

    begin: int
    """The first block."""
    end: int
    """The block after the last."""
    held: int
    """The bytes that the host holds; all of them if no map shows it."""


def candidates(
    free: Iterable[BlockRun], allocated: Sequence[Range] | None, block_bytes: int, min_run: int = 0
) -> Iterator[FreedRun]:
    """Yield the parts of the *free* runs that the host has *allocated*, in whole blocks, in order.

    *allocated* has bytes of the data device; with None the host's map is not known, and each free run is a
    candidate. Runs of less than *min_run* bytes are left out.
    """
    for begin, end in free:
        if (end - begin) * block_bytes < min_run:
            continue
        if allocated is None:
            yield FreedRun(begin, end, (end - begin) * block_bytes)
            continue
        whole = begin * block_bytes, end * block_bytes
        blocks: list[BlockRun] = []
        for start, stop in overlap(allocated, whole):
            run = start // block_bytes, -(-stop // block_bytes)
            if blocks and run[0] <= blocks[-1][1]:
                blocks[-1] = blocks[-1][0], run[1]
            else:
                blocks.append(run)
        for first, last in blocks:
            if (last - first) * block_bytes >= min_run:
                yield FreedRun(
                    first, last, total(overlap(allocated, (first * block_bytes, last * block_bytes)))
                )


def held_bytes(found: Iterable[FreedRun]) -> int:
    """Return the bytes that the host holds for all candidates."""
    return sum(each.held for each in found)

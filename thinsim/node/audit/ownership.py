"""`ownership` divides the used data blocks of a pool among its thin devices. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fuse_backing.allocation import merged
from thinsim.ranges import Range, overlap, total
from thinsim.thin.mapping import Run


@dataclass(frozen=True, slots=True)
class OwnedBlocks:
    """An `OwnedBlocks` counts the data blocks of a thin device, and the bytes on the host for them."""

    exclusive: int
    """Data blocks that only this device maps."""
    shared: int
    """Data blocks that other devices map as well."""
    held: int
    """Bytes that the host holds for the exclusive blocks; all of them if no map shows it."""


def ownership(
    mappings: Mapping[int, Sequence[Run]], allocated: Sequence[Range] | None, block_bytes: int
) -> dict[int, OwnedBlocks]:
    """Return the blocks of each thin id. *allocated* has bytes of the data device; None: not known."""
    found = dict.fromkeys(mappings, OwnedBlocks(0, 0, 0))
    exclusive: dict[int, list[Range]] = {thin_id: [] for thin_id in mappings}
    shared = dict.fromkeys(mappings, 0)
    for begin, end, owners in _segments(mappings):
        if len(owners) == 1:
            exclusive[owners[0]].append((begin * block_bytes, end * block_bytes))
        else:
            for owner in owners:
                shared[owner] += end - begin
    for thin_id, ranges in exclusive.items():
        held = total(ranges) if allocated is None else _held(ranges, allocated)
        found[thin_id] = OwnedBlocks(total(ranges) // block_bytes, shared[thin_id], held)
    return found


def used_blocks(mappings: Iterable[Sequence[Run]]) -> int:
    """Return the number of data blocks that at least one mapping names."""
    runs = sorted((run.data_block, run.data_block + run.length) for each in mappings for run in each)
    return total(merged(runs))


def _held(ranges: Iterable[Range], allocated: Sequence[Range]) -> int:
    return sum(total(overlap(allocated, each)) for each in merged(ranges))


def _segments(mappings: Mapping[int, Sequence[Run]]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield runs of data blocks with the thin ids that map them, in ascending order."""
    edges: list[tuple[int, bool, int]] = []
    for thin_id, runs in mappings.items():
        for run in runs:
            edges.append((run.data_block, True, thin_id))
            edges.append((run.data_block + run.length, False, thin_id))
    edges.sort()  # at one block, ends come first
    owners: list[int] = []
    before = 0
    for block, begins, thin_id in edges:
        if owners and block > before:
            yield before, block, list(owners)
        if begins:
            owners.append(thin_id)
        else:
            owners.remove(thin_id)
        before = block

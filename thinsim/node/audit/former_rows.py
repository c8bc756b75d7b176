"""`former_rows` joins the last owners of freed blocks with containerd's present and removed records. Pure."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from thinsim.node.audit.audited import FormerOwner
from thinsim.node.audit.thin_rows import device_of_snapshot, holder_words
from thinsim.node.containerd.databases import ContainerdRecords
from thinsim.node.containerd.former_records import client_key
from thinsim.node.containerd.references import SnapshotReferences
from thinsim.node.reclaim.candidates import FreedRun
from thinsim.ranges import Range, overlap, total
from thinsim.thin.metadata.best_claims import OwnedRun

RecordsAndReferences = tuple[ContainerdRecords, SnapshotReferences]

_LONGEST_ID = 20
"""The most digits of a snapshot's id, a number of 64 bits."""


def former_rows(
    freed: Iterable[FreedRun] | None,
    allocated: Sequence[Range],
    owners: Sequence[OwnedRun],
    in_pool: Collection[int],
    block_bytes: int,
    pool: str,
    containerd: RecordsAndReferences | None,
) -> list[FormerOwner]:
    """Return a row per thin id in *owners*, the sorted runs of the last owners, the largest row first.

    With *freed*, the rows have the bytes that the host has *allocated* for these runs. The last row then has
    the blocks of an unknown owner, so that the sum is that of the runs. With None, each block counts whole.
    """
    blocks: Counter[int | None] = Counter()
    held: Counter[int | None] = Counter()
    if freed is None:
        for owned in owners:
            blocks[owned.thin_id] += owned.end - owned.begin
        held.update({thin_id: count * block_bytes for thin_id, count in blocks.items()})
    for run in freed or ():
        for begin, end, thin_id in _parts(run, owners):
            blocks[thin_id] += end - begin
            held[thin_id] += total(overlap(allocated, (begin * block_bytes, end * block_bytes)))
    names = _Names(pool, containerd)
    order = sorted(blocks, key=lambda thin_id: (thin_id is None, -held[thin_id], thin_id))
    return [
        FormerOwner(
            thin_id,
            thin_id in in_pool,
            *((), (), ()) if thin_id is None else names.of(thin_id),
            blocks[thin_id],
            held[thin_id],
        )
        for thin_id in order
    ]


def _parts(run: FreedRun, owners: Sequence[OwnedRun]) -> Iterator[tuple[int, int, int | None]]:
    """Yield the parts of *run*, each with the thin id that mapped it last, or None."""
    block = run.begin
    for at in range(bisect_right(owners, run.begin, key=_end), len(owners)):
        owned = owners[at]
        if owned.begin >= run.end:
            break
        begin, end = max(owned.begin, run.begin), min(owned.end, run.end)
        if begin > block:
            yield block, begin, None
        yield begin, end, owned.thin_id
        block = end
    if block < run.end:
        yield block, run.end, None


def _end(owned: OwnedRun) -> int:
    return owned.end


class _Names:
    """A `_Names` finds devices, snapshots and holders of a thin id in the records of *pool*."""

    def __init__(self, pool: str, containerd: RecordsAndReferences | None) -> None:
        self._pool = pool
        self._containerd = containerd

    def of(self, thin_id: int) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        """Return the names of the devices, the keys of their snapshots, and what needed these."""
        if self._containerd is None:
            return (), (), ()
        records, _ = self._containerd
        names = set(records.former.devices.get(thin_id, ()))
        names |= {each.name for each in records.pool.devices.values() if each.thin_id == thin_id}
        devices = sorted(names, key=lambda name: (len(name), name))
        keys = list(dict.fromkeys(key for name in devices for key in self._keys(name)))
        holders = list(dict.fromkeys(holder for key in keys for holder in self._holders(key)))
        return devices, keys, holders

    def _keys(self, device: str) -> list[str]:
        assert self._containerd is not None
        records, _ = self._containerd
        for snapshot in records.snapshots.values():
            if device_of_snapshot(self._pool, snapshot.id) == device:
                return [snapshot.key]
        number = device.rpartition("-")[2]
        is_id = number.isdecimal() and len(number) <= _LONGEST_ID
        return records.former.keys_of(int(number)) if is_id else []

    def _holders(self, key: str) -> list[str]:
        assert self._containerd is not None
        records, found = self._containerd
        use = found.uses.get(key)
        if use is not None and use.holders:
            return list(map(holder_words, use.holders))
        image = records.former.images.get(client_key(key))
        return [f"container of {image}"] if image else []

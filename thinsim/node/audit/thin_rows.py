"""`thin_rows` joins the thin devices of a pool with containerd's records of devices and snapshots. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from thinsim.node.audit.audited import AuditedThin
from thinsim.node.audit.ownership import OwnedBlocks
from thinsim.node.containerd.databases import ContainerdRecords
from thinsim.node.containerd.gc_labels import ContainerdResource
from thinsim.node.containerd.pool_records import RecordedDevice
from thinsim.node.containerd.references import SnapshotReferences, SnapshotUse

_NOTHING = OwnedBlocks(0, 0, 0)


def thin_rows(
    owned: Mapping[int, OwnedBlocks],
    active: Mapping[int, str],
    users: Mapping[int, Sequence[str]],
    block_bytes: int,
    pool: str,
    containerd: tuple[ContainerdRecords, SnapshotReferences] | None,
) -> list[AuditedThin]:
    """Return a row per thin id that the pool has or that containerd has a record of, sorted by thin id.

    *owned* has the blocks of each thin id of the pool, *active* the names of its devices, and *users* who has
    them open. *pool* begins the names of containerd's devices.
    """
    devices = (
        {} if containerd is None else {each.thin_id: each for each in containerd[0].pool.devices.values()}
    )
    uses = {} if containerd is None else dict(_by_device(pool, containerd[1].uses))
    return [
        _row(
            thin_id,
            owned.get(thin_id),
            active.get(thin_id),
            users.get(thin_id, ()),
            block_bytes,
            devices.get(thin_id),
            uses,
        )
        for thin_id in _ids(owned, devices)
    ]


def device_of_snapshot(pool: str, number: int) -> str:
    """Return the name of a snapshot's device (containerd, devmapper/snapshotter.go, getDeviceName)."""
    return f"{pool}-snap-{number}"


def _ids(owned: Collection[int], devices: Collection[int]) -> list[int]:
    return sorted({*owned, *devices})


def _by_device(pool: str, uses: Mapping[str, SnapshotUse]) -> Iterator[tuple[str, SnapshotUse]]:
    for use in uses.values():
        yield device_of_snapshot(pool, use.snapshot.id), use


def _row(
    thin_id: int,
    owned: OwnedBlocks | None,
    active: str | None,
    users: Sequence[str],
    block_bytes: int,
    device: RecordedDevice | None,
    uses: Mapping[str, SnapshotUse],
) -> AuditedThin:
    blocks = owned or _NOTHING
    name = device.name if device is not None else active or ""
    use = uses.get(name) if device is not None else None
    return AuditedThin(
        thin_id=thin_id,
        device=name,
        in_pool=owned is not None,
        active=active is not None,
        exclusive=blocks.exclusive * block_bytes,
        shared=blocks.shared * block_bytes,
        held=blocks.held,
        snapshot=use.snapshot.key if use else "",
        kind=use.snapshot.kind_name if use else "",
        names=tuple(map(_name, use.names)) if use else (),
        holders=tuple(map(holder_words, use.holders)) if use else (),
        need=use.need.value if use else "",
        state=device.state_name if device else "",
        users=users,
    )


def _name(resource: ContainerdResource) -> str:
    return f"{resource.namespace}/{resource.name}"


def holder_words(resource: ContainerdResource) -> str:
    """Return the kind and the name of what needs a snapshot."""
    return f"{resource.kind.value} {_name(resource)}"

"""These functions yield what is wrong with a pool, its devices and containerd's records. Pure."""

from collections.abc import Collection, Iterator, Sequence

from thinsim.node.audit.audited import AuditedThin, AuditFinding, FindingKind
from thinsim.node.audit.former_mappings import FormerMappings
from thinsim.node.audit.thin_rows import device_of_snapshot
from thinsim.node.containerd.databases import ContainerdRecords
from thinsim.node.containerd.pool_records import ThinIdUse
from thinsim.node.containerd.references import SnapshotNeed, SnapshotReferences
from thinsim.node.containerd.settings import ContainerdSettings
from thinsim.node.stack.report import HeightsReport
from thinsim.snapshotter.device_state import DeviceState
from thinsim.thin.status import PoolStatus
from thinsim.units import format_size

_NOTE, _LEAK, _DISAGREEMENT = FindingKind.NOTE, FindingKind.LEAK, FindingKind.DISAGREEMENT
_METADATA_LOW = 0.9
_TRANSIENT = frozenset(
    {
        *(DeviceState.CREATING, DeviceState.ACTIVATING, DeviceState.SUSPENDING),
        *(DeviceState.RESUMING, DeviceState.DEACTIVATING, DeviceState.REMOVING),
    }
)
_WITHOUT_THIN = frozenset(
    {DeviceState.UNKNOWN, DeviceState.CREATING, DeviceState.REMOVING, DeviceState.REMOVED}
)
"""In these states the pool need not have the thin id."""


def reclaimable_findings(pool: str, reclaimable: int | None, runs: int) -> Iterator[AuditFinding]:
    """Yield the space that the host holds for free blocks."""
    if reclaimable:
        yield AuditFinding(
            _LEAK,
            f"the host holds {format_size(reclaimable)} for blocks that the pool has freed, in {runs} runs; "
            "the pool uses them again, so this is its high-water mark, and does not grow without end",
            f"thinsim reclaim {pool}",
            reclaimable,
        )


def former_findings(found: FormerMappings) -> Iterator[AuditFinding]:
    """Yield why the former owners of freed blocks may be incomplete."""
    if found.fault:
        yield AuditFinding(_NOTE, f"the former owners are not known: {found.fault}")
    elif found.cut:
        yield AuditFinding(
            _NOTE,
            "the pool has more freed blocks, or its metadata more free blocks, than the audit looks at, so "
            "some former owners are missing or unknown",
        )


def status_findings(
    pool: str, status: PoolStatus, block_bytes: int, granularity: int
) -> Iterator[AuditFinding]:
    """Yield what the pool's status shows. *granularity* is that of discards at the data device, in bytes."""
    if status.mode in ("Fail", "Error"):
        yield AuditFinding(
            _DISAGREEMENT,
            f"pool {pool} has failed: {status.mode}",
            "deactivate it, then thin_check and thin_repair",
        )
        return
    if status.mode == "ro" or status.needs_check:
        what = "needs a check" if status.needs_check else "is read-only"
        yield AuditFinding(
            _DISAGREEMENT, f"pool {pool} {what}", "deactivate it, then thin_check and thin_repair"
        )
    if status.mode == "out_of_data_space":
        yield AuditFinding(
            _NOTE, f"pool {pool} has no free data block", "grow the data device, or remove images"
        )
    if status.used_metadata > _METADATA_LOW * status.total_metadata:
        used = f"{status.used_metadata} of {status.total_metadata}"
        yield AuditFinding(
            _NOTE, f"metadata is low: {used} blocks are used", "grow the metadata device before it is full"
        )
    if status.held_root is not None:
        yield AuditFinding(
            _NOTE,
            "a metadata snapshot is held, which keeps the blocks of deleted devices",
            f"dmsetup message {pool} 0 release_metadata_snap, if nobody needs it",
        )
    if status.discard != "discard_passdown":
        yield AuditFinding(
            _NOTE,
            f"the pool passes no discard down ({status.discard}), so a discarded block stays on the host",
            "load the pool's table without this word",
        )
    elif not granularity:
        yield AuditFinding(
            _NOTE,
            "the data device takes no discards, so the pool passes none down",
            "thinsim heights shows where",
        )
    elif granularity > block_bytes:
        yield AuditFinding(
            _NOTE,
            f"the data device frees only whole units of {format_size(granularity)}, and a data block has "
            f"{format_size(block_bytes)}: smaller discards free nothing",
        )


def settings_findings(settings: ContainerdSettings) -> Iterator[AuditFinding]:
    """Yield what containerd's configuration loses."""
    if not settings.discard_blocks:
        yield AuditFinding(
            _NOTE,
            f"discard_blocks is off in {settings.config}, so containerd discards no block of a removed "
            "container",
            "discard_blocks = true, then restart containerd; images leak all the same",
        )


def stack_findings(stack: HeightsReport) -> Iterator[AuditFinding]:
    """Yield the heights below the data device at which discards die; that of the device is in the status."""
    for number in stack.dies_at:
        if number:
            height = stack.heights[number]
            yield AuditFinding(
                _NOTE,
                f"discards die below the data device, at {height.kind.value} {height.name}: {height.reason}",
                f"thinsim heights {stack.path} shows every height",
            )


def device_findings(pool: str, rows: Sequence[AuditedThin]) -> Iterator[AuditFinding]:
    """Yield the devices in which the pool and containerd's records disagree, or that somebody keeps busy."""
    for row in rows:
        size = row.exclusive
        if row.in_pool and not row.state:
            yield AuditFinding(
                _DISAGREEMENT,
                f"thin id {row.thin_id} ({format_size(size)} of its own) is in the pool, and containerd has "
                "no device for it",
                f"dmsetup message {pool} 0 'delete {row.thin_id}', if nothing else uses the pool",
                size,
            )
        elif not row.in_pool and row.state not in _WITHOUT_THIN:
            yield AuditFinding(
                _DISAGREEMENT,
                f"device {row.device} is {row.state} in containerd's records, and the pool has no thin id "
                f"{row.thin_id}",
                "remove the snapshot in containerd and pull the image again",
            )
        elif row.state == DeviceState.FAULTY:
            yield AuditFinding(
                _LEAK if row.in_pool else _NOTE,
                f"device {row.device} is Faulty: containerd never uses or deletes its thin id {row.thin_id}",
                f"dmsetup message {pool} 0 'delete {row.thin_id}'" if row.in_pool else "",
                size,
            )
        elif row.state == DeviceState.REMOVED and row.in_pool:
            yield AuditFinding(
                _LEAK,
                f"device {row.device} ({format_size(size)} of its own) is Removed, and its thin id is still "
                "there: with async_remove the next garbage collection deletes it",
                "ctr content prune references, or restart containerd",
                size,
            )
        elif row.state in _TRANSIENT:
            yield AuditFinding(
                _NOTE,
                f"device {row.device} is {row.state}: containerd is at work, or was killed while it did this",
                "look again; a restart of containerd marks a device that is left as Faulty",
            )
        if row.users and row.state in (DeviceState.REMOVING, DeviceState.REMOVED, DeviceState.FAULTY):
            yield AuditFinding(
                _NOTE, f"device {row.device} is busy: {', '.join(row.users)}", "end these users"
            )


def snapshot_findings(
    pool: str, records: ContainerdRecords, found: SnapshotReferences, rows: Sequence[AuditedThin]
) -> Iterator[AuditFinding]:
    """Yield the snapshots without a device, the devices without a snapshot, and what nobody needs."""
    sizes = {row.device: row.exclusive for row in rows}
    devices = records.pool.devices
    expected = {device_of_snapshot(pool, use.snapshot.id): use for use in found.uses.values()}
    for name, use in expected.items():
        if name not in devices:
            yield AuditFinding(
                _DISAGREEMENT,
                f"snapshot {use.snapshot.key} has no device {name} in containerd's records",
                "remove the snapshot in containerd and pull the image again",
            )
        size = sizes.get(name, 0)
        if use.need is SnapshotNeed.UNREFERENCED:
            yield AuditFinding(
                _LEAK,
                f"snapshot {use.snapshot.key} ({format_size(size)} of its own) has no key in any namespace, "
                "so nobody can remove it",
                "restart containerd, whose clean-up may remove it",
                size,
            )
        elif use.need is SnapshotNeed.COLLECTIBLE:
            yield AuditFinding(
                _NOTE,
                f"snapshot {use.snapshot.key} ({format_size(size)} of its own) is needed by nothing: the "
                "next garbage collection removes it",
                "",
                size,
            )
    yield from _without_snapshot(records, expected, sizes)
    for key in found.dangling:
        yield AuditFinding(
            _DISAGREEMENT,
            f"{key.namespace} has a snapshot {key.name}, and the snapshotter does not",
            f"ctr -n {key.namespace} snapshots --snapshotter devmapper rm {key.name}",
        )
    yield from _lost_ids(records)


def _without_snapshot(
    records: ContainerdRecords, expected: Collection[str], sizes: dict[str, int]
) -> Iterator[AuditFinding]:
    for name, device in records.pool.devices.items():
        if name not in expected and device.state not in (DeviceState.REMOVED, DeviceState.FAULTY):
            size = sizes.get(name, 0)
            yield AuditFinding(
                _DISAGREEMENT,
                f"device {name} ({format_size(size)} of its own, {device.state_name}) belongs to no snapshot",
                "restart containerd, whose clean-up may remove it",
                size,
            )


def _lost_ids(records: ContainerdRecords) -> Iterator[AuditFinding]:
    named = {device.thin_id for device in records.pool.devices.values()}
    lost = [
        thin_id
        for thin_id, use in records.pool.thin_ids.items()
        if use is ThinIdUse.FAULTY or (use is ThinIdUse.TAKEN and thin_id not in named)
    ]
    if lost:
        numbers = ", ".join(map(str, lost[:10])) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
        yield AuditFinding(_NOTE, f"containerd has lost thin ids, and never uses them again: {numbers}")

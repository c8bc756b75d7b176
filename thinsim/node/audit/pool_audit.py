"""`audit` looks at an active pool, its host and containerd's databases, and changes nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from thinsim.block.kernel_view import discard_limits
from thinsim.block.linux import LinuxBlockDevice
from thinsim.dm.metadata_device import MetadataDevice, metadata_view, open_store
from thinsim.machine.device_users import users_of_devices
from thinsim.node.active_pools import NodePool, active_thins
from thinsim.node.audit.audited import (
    AuditedPool,
    AuditedThin,
    AuditFinding,
    FindingKind,
    FormerOwner,
)
from thinsim.node.audit.containerd_view import ContainerdView
from thinsim.node.audit.former_mappings import FormerMappings, former_mappings
from thinsim.node.audit.former_rows import former_rows
from thinsim.node.audit.held_mappings import MappedThin, held_mappings, mappings_of
from thinsim.node.audit.ownership import ownership, used_blocks
from thinsim.node.audit.pool_findings import (
    device_findings,
    former_findings,
    reclaimable_findings,
    settings_findings,
    snapshot_findings,
    stack_findings,
    status_findings,
)
from thinsim.node.audit.thin_rows import thin_rows
from thinsim.node.reclaim.candidates import FreedRun, held_bytes
from thinsim.node.reclaim.committed_map import CommittedMap, freed_runs_of
from thinsim.node.reclaim.data_file import data_file
from thinsim.node.stack.report import heights_report
from thinsim.node.stack.walking import heights_of
from thinsim.ranges import Range
from thinsim.thin.status import parse_pool_status
from thinsim.units import SECTOR_SIZE

_FAILED = ("Fail", "Error")
_WORST_FIRST = (FindingKind.DISAGREEMENT, FindingKind.LEAK, FindingKind.NOTE)


async def audit(
    pool: NodePool, containerd: ContainerdView | None = None, *, former: bool = True
) -> AuditedPool:
    """Return the audit of *pool*. For a moment a metadata snapshot is held, so the pool commits once.

    With *former*, it looks in old metadata for the former owners of freed blocks. ConflictError if somebody
    else holds a metadata snapshot, or if the metadata is damaged.
    """
    status = parse_pool_status(await pool.dm.status(pool.name, noflush=True))
    thins = [] if status.mode in _FAILED else await held_mappings(pool)
    names = await active_thins(pool)
    nodes = {thin_id: pool.dm.path(name) for thin_id, name in names.items()}
    users = await trio.to_thread.run_sync(users_of_devices, nodes.values())
    heights = await heights_of(pool.data_device)
    file, unmapped = data_file(pool.data_device, heights)
    size = pool.table.length // pool.table.block_size * pool.block_bytes
    promise = _Promise()
    allocated: Sequence[Range] | None = None
    if file is not None and status.mode not in _FAILED:
        allocated = await trio.to_thread.run_sync(file.allocated, size)
        promise = await trio.to_thread.run_sync(_promise, pool, partial(file.allocated, size))
    reclaimable = None if promise.freed is None else held_bytes(promise.freed)
    runs = len(promise.freed or ())
    granularity = discard_limits(pool.data_device).granularity
    stack = heights_report(pool.data_device, heights)
    rows = _Rows(pool.name, pool.block_bytes, thins, allocated, containerd)
    if former and status.mode not in _FAILED:
        rows.find_former(promise, await trio.to_thread.run_sync(_former_mappings, pool, promise.freed))
    rows.active = names
    rows.users = {
        thin_id: [user.what for user in users[node]] for thin_id, node in nodes.items() if users[node]
    }
    return rows.audited(
        device_mapper="kernel" if pool.in_kernel else "emulated",
        status=status,
        data_device=str(pool.data_device),
        metadata_device=str(pool.metadata_device),
        file="" if file is None else str(file.path),
        held=None if file is None else file.held(),
        reclaimable=reclaimable,
        reclaimable_runs=runs,
        unmapped=unmapped,
        stack=stack,
        findings=[
            *status_findings(pool.name, status, pool.block_bytes, granularity),
            *stack_findings(stack),
            *reclaimable_findings(pool.name, reclaimable, runs),
        ],
    )


def audit_offline(
    metadata: Path, containerd: ContainerdView | None, pool: str, *, former: bool = True
) -> AuditedPool:
    """Return the audit of the *metadata* of a pool that is not active; *pool* is its name."""
    with closing(open_store(metadata)) as store:
        view = metadata_view(metadata, store)
        block_bytes = view.superblock.data_block_size * SECTOR_SIZE
        needs_check = view.superblock.needs_check
        thins = mappings_of(store)
        found = former_mappings(store) if former else FormerMappings()
    findings = []
    if needs_check:
        text = f"{metadata} has the flag needs_check"
        findings.append(AuditFinding(FindingKind.DISAGREEMENT, text, "thin_check, then thin_repair"))
    rows = _Rows(pool, block_bytes, thins, None, containerd)
    rows.find_former(_Promise(), found)
    return rows.audited(
        device_mapper="offline",
        metadata_device=str(metadata),
        unmapped="the data device is not known",
        findings=findings,
    )


@dataclass(frozen=True, slots=True)
class _Promise:
    """A `_Promise` has the freed runs that the host holds, by what it has allocated; None if not known."""

    freed: Sequence[FreedRun] | None = None
    allocated: Sequence[Range] = ()


def _promise(pool: NodePool, allocated: Callable[[], Sequence[Range]]) -> _Promise:
    looks: list[Sequence[Range]] = []

    def look() -> Sequence[Range]:
        looks.append(allocated())
        return looks[-1]

    with CommittedMap.on(pool.metadata_device) as committed:
        freed = freed_runs_of(committed, look, pool.block_bytes)
    return _Promise(freed, looks[-1])


def _former_mappings(pool: NodePool, freed: Sequence[FreedRun] | None) -> FormerMappings:
    if freed is not None and not freed:
        return FormerMappings()
    runs = None if freed is None else [(each.begin, each.end) for each in freed]
    # The page cache may have older pages of the metadata device, so this reads past it.
    with closing(MetadataDevice(LinuxBlockDevice(pool.metadata_device, read_only=True))) as store:
        return former_mappings(store, runs)


class _Rows:
    """A `_Rows` joins what was found into the document."""

    def __init__(
        self,
        pool: str,
        block_bytes: int,
        thins: Sequence[MappedThin],
        allocated: Sequence[Range] | None,
        containerd: ContainerdView | None,
    ) -> None:
        self._pool = pool
        self._block_bytes = block_bytes
        self._mappings = {each.thin_id: each.runs for each in thins}
        self._allocated = allocated
        self._containerd = containerd
        self.active: Mapping[int, str] = {}
        self.users: Mapping[int, Sequence[str]] = {}
        self._former: Sequence[FormerOwner] = ()
        self._former_findings: Sequence[AuditFinding] = ()

    def find_former(self, promise: _Promise, found: FormerMappings) -> None:
        """Add rows for the former owners of the runs of *promise*, as *found* has them."""
        view = self._containerd
        self._former = former_rows(
            promise.freed,
            promise.allocated,
            found.runs,
            self._mappings,
            self._block_bytes,
            self._pool,
            None if view is None else (view.records, view.references),
        )
        self._former_findings = list(former_findings(found))

    def audited(self, *, findings: Sequence[AuditFinding], **fields: object) -> AuditedPool:
        """Return the document with these *findings* and those of the devices."""
        view = self._containerd
        owned = ownership(self._mappings, self._allocated, self._block_bytes)
        rows = thin_rows(
            owned,
            self.active,
            self.users,
            self._block_bytes,
            self._pool,
            None if view is None else (view.records, view.references),
        )
        more = list(_containerd_findings(self._pool, view, rows)) if view is not None else []
        known = {
            "status": None,
            "data_device": "",
            "file": "",
            "held": None,
            "reclaimable": None,
            "reclaimable_runs": 0,
            "stack": None,
            **fields,
        }
        return AuditedPool(
            name=self._pool,
            block_bytes=self._block_bytes,
            used=used_blocks(self._mappings.values()) * self._block_bytes,
            containerd="" if view is None else str(view.root),
            devices=rows,
            findings=sorted(
                [*findings, *self._former_findings, *more], key=lambda each: _WORST_FIRST.index(each.kind)
            ),
            former_owners=self._former,
            **known,  # type: ignore[arg-type]
        )


def _containerd_findings(
    pool: str, view: ContainerdView, rows: Sequence[AuditedThin]
) -> Iterator[AuditFinding]:
    yield from device_findings(pool, rows)
    yield from snapshot_findings(pool, view.records, view.references, rows)
    if view.settings is not None:
        yield from settings_findings(view.settings)
    for fault in view.records.passed_over:
        yield AuditFinding(FindingKind.NOTE, f"{fault}; the newest transaction may be lost")

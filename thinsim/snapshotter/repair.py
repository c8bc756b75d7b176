"""`Repair` makes the store, the device records and the pool agree again after a crash.

It runs on request, not at every start. containerd does not repair: a device in a state between two acts
stays Faulty and its thin id is lost; a device without a snapshot blocks the name of the next one
(containerd issue #5646); a snapshot whose device is gone cannot be removed. `Repair` reads the pool's
metadata (:mod:`pool_contents`), so it need not guess. It changes only thin ids that this snapshotter has
allocated.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import ThinsimError
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.device_store import DeviceRecord, DeviceStore, ThinIdState
from thinsim.snapshotter.discarding import DiscardPolicy
from thinsim.snapshotter.interface import Kind
from thinsim.snapshotter.metastore import MetaStore
from thinsim.snapshotter.pool_contents import PoolContents, ThinExtent
from thinsim.snapshotter.pool_device import PoolDevice
from thinsim.snapshotter.snapshot_tables import SnapshotRecord
from thinsim.thin.status import parse_pool_status
from thinsim.units import Bytes, Sectors, bytes_of

# A command that a killed snapshotter started may still have the device open. ``later`` makes the removal
# wait for that command.
_DISCARDING = DiscardPolicy(active=True, committed=True, inactive=True, later=True, unforced=True)
_DELETING = DiscardPolicy(unforced=True)


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """An `Inconsistency` has a subject, the finding, and the remedy: the one applied or the one needed."""

    subject: str
    """The snapshot or device."""
    found: str
    """The contradiction."""
    remedy: str
    """The repair that was made or is needed."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """A `RepairReport` lists the inconsistencies *repaired* and *left*.

    *reclaimed* is the number of bytes of data blocks that are free again in the pool.
    """

    repaired: Sequence[Inconsistency]
    """The inconsistencies that were repaired."""
    left: Sequence[Inconsistency]
    """The inconsistencies that remain."""
    reclaimed: Bytes
    """Bytes that the pool got back."""


class Repair:
    """A `Repair` repairs one snapshotter once. No verb of the snapshotter may run meanwhile."""

    def __init__(
        self,
        dm: DeviceMapper,
        pool: PoolDevice,
        store: MetaStore,
        metadata: DeviceStore,
        contents: PoolContents,
        pool_name: str,
    ) -> None:
        self._dm = dm
        self._pool = pool
        self._store = store
        self._metadata = metadata
        self._contents = contents
        self._pool_name = pool_name
        self._prefix = f"{pool_name}-snap-"
        self._repaired: list[Inconsistency] = []
        self._left: list[Inconsistency] = []
        self._present: Mapping[int, ThinExtent] = {}
        self._discard = False

    async def run(self, *, discard: bool) -> RepairReport:
        """Repair all that can be repaired; with *discard*, discard each device before its removal.

        Raise FailedPreconditionError while another program holds a metadata snapshot of the pool,
        DeviceMapperError if the pool does not answer.
        """
        self._discard = discard
        before = await self._used_bytes()
        await self._resume_all()
        self._present = await self._contents.thin_ids()
        await self._devices_nobody_has()
        await self._snapshots()
        await self._thin_ids_nobody_has()
        await self._nodes_nobody_has()
        self._foreign_thin_ids()
        return RepairReport(self._repaired, self._left, Bytes(before - await self._used_bytes()))

    async def _resume_all(self) -> None:
        """Resume all suspended devices first: any other operation on them would hang."""
        for name in await self._own_nodes():
            if await self._pool.is_suspended(name):
                await self._fix(name, "suspended", "resumed", partial(self._dm.resume, name))

    async def _devices_nobody_has(self) -> None:
        """Remove every device without a snapshot and every device that waits for cleanup."""
        owners = {f"{self._prefix}{record.id}" for record in self._store.read.all()}
        waiting = {f"{self._prefix}{number}": number for number in self._store.read.waiting()}
        for device in self._metadata.devices():
            if device.name in owners:
                continue
            found = f"thin id {device.thin_id}, {device.state}, " + (
                "waits for cleanup" if device.name in waiting else "belongs to no snapshot"
            )
            await self._fix(device.name, found, "removed", partial(self._remove, device))
        known = {device.name for device in self._metadata.devices()}
        for name, number in waiting.items():
            if name not in known:
                with self._store.write(f"{name} is cleaned up") as store:
                    store.forget(number)

    async def _snapshots(self) -> None:
        """Repair children before parents: a parent can only be removed after its children."""
        for record in sorted(self._store.read.all(), key=lambda record: -record.id):
            try:
                device = self._metadata.get(f"{self._prefix}{record.id}")
            except ThinsimError:
                await self._finish_removal(record, "has no device", None)
                continue
            if device.discarded:
                await self._finish_removal(record, "its removal was interrupted after the discard", device)
            elif device.thin_id in self._present:
                await self._make_usable(record, device)
            elif DeviceState.REMOVING in device.error or device.state is DeviceState.REMOVED:
                await self._finish_removal(record, "its removal was interrupted", device)
            else:
                self._left.append(
                    Inconsistency(
                        f"snapshot {record.info.name}",
                        f"its thin id {device.thin_id} does not exist in the pool, so its content is lost",
                        "remove the snapshot",
                    )
                )

    async def _finish_removal(self, record: SnapshotRecord, found: str, device: DeviceRecord | None) -> None:
        async def finish() -> None:
            self._store.read.removable(record.info.name)
            if device is not None:
                await self._remove(device)
            with self._store.write(f"remove {record.info.name}") as store:
                store.remove(record.info.name)

        await self._fix(f"snapshot {record.info.name}", found, "removed", finish)

    async def _make_usable(self, record: SnapshotRecord, device: DeviceRecord) -> None:
        wanted = DeviceState.DEACTIVATED if record.info.kind is Kind.COMMITTED else DeviceState.ACTIVATED
        faulty = self._metadata.thin_ids()[device.thin_id] is ThinIdState.FAULTY
        if device.state is wanted and not faulty:
            return

        async def settle() -> None:
            loaded = await self._pool.is_loaded(device.name)
            if wanted is DeviceState.ACTIVATED:
                if loaded:
                    await self._pool.restore_table(device.name)
                else:
                    await self._pool.activate(device.name)
            elif loaded:
                await self._dm.remove(device.name, deferred=True)
            self._metadata.redeem(device.name, wanted)

        found = f"device {device.name} was {device.state}"
        await self._fix(f"snapshot {record.info.name}", found, f"the device is {wanted} again", settle)

    async def _thin_ids_nobody_has(self) -> None:
        """Free the faulty thin ids that no device has; first delete those that the pool still has."""
        used = {device.thin_id for device in self._metadata.devices()}
        for thin_id, state in self._metadata.thin_ids().items():
            if thin_id in used or state is ThinIdState.FREE:
                continue
            if thin_id not in self._present:
                self._metadata.free(thin_id)
                self._repaired.append(
                    Inconsistency(f"thin id {thin_id}", "faulty, not in the pool", "marked as free")
                )
                continue
            await self._fix(
                f"thin id {thin_id}",
                "faulty, still in the pool",
                "deleted",
                partial(self._reclaim, thin_id),
            )

    async def _reclaim(self, thin_id: int) -> None:
        # A device can only be activated with a whole number of sectors above 0.
        size = self._present[thin_id].end or Bytes(1 << 20)
        await self._remove(self._metadata.adopt(f"{self._pool_name}-given-up-{thin_id}", thin_id, size))

    async def _nodes_nobody_has(self) -> None:
        known = {device.name for device in self._metadata.devices()}
        for name in await self._own_nodes():
            if name not in known:
                await self._fix(
                    f"device {name}", "active and not recorded", "removed", partial(self._dm.remove, name)
                )

    def _foreign_thin_ids(self) -> None:
        ours = self._metadata.thin_ids()
        used = {device.thin_id for device in self._metadata.devices()}
        for thin_id in self._present:
            if thin_id not in used and ours.get(thin_id, ThinIdState.FREE) is ThinIdState.FREE:
                self._left.append(
                    Inconsistency(
                        f"thin id {thin_id}",
                        "in the pool, not allocated by this snapshotter",
                        f"if unused, delete it: dmsetup message {self._pool_name} 0 'delete {thin_id}'",
                    )
                )

    async def _remove(self, device: DeviceRecord) -> None:
        discard = self._discard and device.thin_id in self._present
        await self._pool.remove_device(device.name, policy=_DISCARDING if discard else _DELETING)
        self._present = {
            thin_id: extent for thin_id, extent in self._present.items() if thin_id != device.thin_id
        }

    async def _fix(self, subject: str, found: str, done: str, act: Callable[[], Awaitable[None]]) -> None:
        """Run *act* and record the outcome; a failure does not stop the other repairs."""
        try:
            await act()
        except ThinsimError as error:
            self._left.append(Inconsistency(subject, found, f"not repaired: {error}"))
        else:
            self._repaired.append(Inconsistency(subject, found, done))

    async def _own_nodes(self) -> list[str]:
        """Return the active devices of this pool's snapshots. No device of another pool has such a name."""
        return [name for name in await self._dm.list() if name.startswith(self._prefix)]

    async def _used_bytes(self) -> int:
        status = parse_pool_status(await self._dm.status(self._pool_name))
        # 0 LENGTH thin-pool METADATA DATA BLOCK_SIZE ...
        words = (await self._dm.table(self._pool_name)).split()
        return status.used_data * bytes_of(Sectors(int(words[5])))

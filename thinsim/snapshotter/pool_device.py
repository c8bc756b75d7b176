"""`PoolDevice` operates the thin devices of a pool, and records the intent before and the result after.

It follows containerd ``plugins/snapshots/devmapper/pool_device.go``. A refusal of device-mapper is raised
as DeviceMapperError, a device missing from the metadata as NotFoundError. Operations take the name of
the snapshot that they serve only to report it to the observer.
"""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from thinsim.dm.interface import DeviceInfo, DeviceMapper
from thinsim.errors import DeviceMapperError, ThinsimError
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.device_store import DeviceRecord, DeviceStore
from thinsim.snapshotter.discarding import Discarding, DiscardPolicy, DiscardPutOffError, reload_table
from thinsim.snapshotter.errors import SnapshotterError
from thinsim.snapshotter.events import DeviceEvent, DeviceEventKind, DiscardSkipped, Observer, ignore
from thinsim.snapshotter.host import SnapshotHost
from thinsim.snapshotter.retry import CONTAINERD_RETRY, RetryRules
from thinsim.snapshotter.turns import Turns
from thinsim.units import Bytes, Sectors, bytes_of, sectors

_log = logging.getLogger(__name__)


class PoolDevice:
    """A `PoolDevice` runs operations on the devices of the existing pool *pool_name*.

    *policy* decides which devices are discarded; *retry* has the rules for retries.
    Several devices may be operated on at the same time, but each by one task at a time.
    """

    def __init__(
        self,
        dm: DeviceMapper,
        host: SnapshotHost,
        metadata: DeviceStore,
        pool_name: str,
        *,
        policy: DiscardPolicy,
        observer: Observer = ignore,
        retry: RetryRules = CONTAINERD_RETRY,
    ) -> None:
        self._dm = dm
        self._host = host
        self._metadata = metadata
        self._pool_name = pool_name
        self._policy = policy
        self._observer = observer
        self._retry = retry
        self._origins = Turns(concurrent=True)

    async def create_thin_device(self, name: str, size: int, *, snapshot: str = "") -> DeviceRecord:
        """Create and activate an empty device of *size* bytes.

        If the activation fails, the creation is undone. If that or the creation fails, the device is Faulty
        and its thin id is not used again.
        """
        device = self._metadata.add(name, size)
        await self._create(device, f"create_thin {device.thin_id}")
        self._report(DeviceEventKind.CREATED, snapshot, device)
        await self._activate_or_undo(device, snapshot)
        return device

    async def create_snapshot_device(
        self, base: str, name: str, size: int, *, snapshot: str = ""
    ) -> DeviceRecord:
        """Create and activate a snapshot of device *base*, which is suspended meanwhile if it is loaded.

        Failures are handled as by ``create_thin_device``. A base that cannot be resumed is logged and not
        raised, since the snapshot is good.
        """
        if not await self.is_loaded(base):
            return await self._snapshot(base, name, size, snapshot)
        # A dm-thin snapshot of an active origin is consistent only while the origin is suspended, and
        # another task must not resume it meanwhile.
        async with self._origins.turn(base):
            await self.suspend(base)
            try:
                return await self._snapshot(base, name, size, snapshot)
            finally:
                await self._resume_origin(base)

    async def activate(self, name: str) -> None:
        """Create the device-mapper device of *name*."""
        table = self._table(self._metadata.get(name))
        with self.transition(name, DeviceState.ACTIVATING, DeviceState.ACTIVATED):
            await self._dm.create(name, table)

    async def suspend(self, name: str) -> None:
        """Flush the I/O of *name* and suspend it; retry a refusal by the rule for suspend."""

        async def suspend() -> None:
            with self.transition(name, DeviceState.SUSPENDING, DeviceState.SUSPENDED):
                await self._dm.suspend(name)

        await self._retry.hold.run(f"suspending {name}", suspend)

    async def resume(self, name: str) -> None:
        """Resume the I/O of *name*; retry a refusal by the rule for resume."""

        async def resume() -> None:
            with self.transition(name, DeviceState.RESUMING, DeviceState.RESUMED):
                await self._dm.resume(name)

        await self._retry.hold.run(f"resuming {name}", resume)

    async def deactivate(self, name: str, *, deferred: bool, force: bool, snapshot: str = "") -> None:
        """Remove the device-mapper device of *name*, if it is loaded.

        With *deferred* the device is removed at its last close and is not discarded. Otherwise it is
        discarded first if ``discard_blocks`` is on.
        """
        device = self._metadata.get(name)
        off = deferred or not self._policy.active
        discarding = Discarding(DiscardSkipped.OFF if off else None, self._policy)
        if await self.is_loaded(name):
            await self._deactivate(device, discarding, snapshot, deferred=deferred, force=force)

    async def is_loaded(self, name: str) -> bool:
        """Return whether device-mapper has a device *name*. Raise any refusal other than ENXIO."""
        return await self._info(name) is not None

    async def is_active(self, name: str) -> bool:
        """Return whether *name* is loaded with a live table."""
        info = await self._info(name)
        return info is not None and info.live_table

    async def is_suspended(self, name: str) -> bool:
        """Return whether *name* exists and is suspended."""
        info = await self._info(name)
        return info is not None and info.suspended

    async def usage(self, name: str) -> Bytes:
        """Return the bytes that *name* maps, shared blocks included, from its status line."""
        fields = (await self._dm.status(name)).split()
        if len(fields) < 4 or fields[2] != "thin" or not fields[3].isdecimal():
            raise SnapshotterError(f"status of device {name!r} has no mapped sectors: {' '.join(fields)!r}")
        return bytes_of(Sectors(int(fields[3])))

    async def remove_device(
        self,
        name: str,
        *,
        snapshot: str = "",
        committed: bool = False,
        policy: DiscardPolicy | None = None,
    ) -> None:
        """Deactivate *name*, delete its thin id and forget it.

        The device is discarded first if *policy*, by default the snapshotter's own, requires that for a
        *committed* snapshot or for another one. Raise DiscardPutOffError, and leave the device as it was, if
        it is open and must not be removed without its discard.
        """
        policy = policy or self._policy
        device = self._metadata.get(name)
        loaded = await self.is_loaded(name)
        if not loaded and policy.wants_activation(committed=committed):
            loaded = await self._activate_unless_deleted(name)
        discarding = Discarding(policy.reason_against(loaded=loaded, committed=committed), policy)
        if loaded:
            force = not policy.unforced
            await self._deactivate(device, discarding, snapshot, deferred=False, force=force)
        await self._delete(device)
        self._metadata.remove(name)
        if not discarding.took_place:
            self._report_discard(discarding, snapshot, device)
        self._report(DeviceEventKind.DELETED, snapshot, device)

    def mark(self, name: str, state: DeviceState) -> None:
        """Record *state* without an act."""
        self._metadata.set_state(name, state)

    @contextmanager
    def transition(self, name: str, trying: DeviceState, success: DeviceState) -> Iterator[None]:
        """Record *trying*, run the body, then record *success* or the body's error.

        After a failure, as after a crash, the state stays at *trying*.
        """
        self._metadata.set_state(name, trying)
        try:
            yield
        except BaseException as error:
            self._metadata.set_error(name, str(error) or type(error).__name__)
            raise
        self._metadata.set_result(name, success)

    async def _activate_unless_deleted(self, name: str) -> bool:
        try:
            await self.activate(name)
        except DeviceMapperError as error:
            # An earlier try deleted the thin id and was interrupted before it forgot the device.
            if error.errno != errno.ENODATA:
                raise
            return False
        return True

    async def _info(self, name: str) -> DeviceInfo | None:
        try:
            return await self._dm.info(name)
        except DeviceMapperError as error:
            if error.errno != errno.ENXIO:
                raise
            return None

    async def _snapshot(self, base: str, name: str, size: int, snapshot: str) -> DeviceRecord:
        origin = self._metadata.get(base)
        device = self._metadata.add(name, size, parent_name=base)
        await self._create(device, f"create_snap {device.thin_id} {origin.thin_id}")
        self._report(DeviceEventKind.SNAPSHOTTED, snapshot, device, base)
        await self._activate_or_undo(device, snapshot)
        return device

    async def restore_table(self, name: str) -> None:
        """Load the thin table again if a forced removal has left an error table, and resume the device."""
        table = self._table(self._metadata.get(name))
        await reload_table(self._dm, name, table)
        await self._dm.resume(name)

    def _table(self, device: DeviceRecord) -> str:
        return f"0 {sectors(device.size)} thin {self._dm.path(self._pool_name)} {device.thin_id}"

    async def _create(self, device: DeviceRecord, message: str) -> None:
        try:
            with self.transition(device.name, DeviceState.CREATING, DeviceState.CREATED):
                await self._dm.message(self._pool_name, 0, message)
        except ThinsimError:
            # Most likely the pool has this thin id already: the next verb must try another one.
            self._metadata.mark_faulty(device.name)
            raise

    async def _activate_or_undo(self, device: DeviceRecord, snapshot: str) -> None:
        try:
            await self.activate(device.name)
        except ThinsimError as error:
            try:
                await self._delete(device)
            except ThinsimError as second:
                self._metadata.mark_faulty(device.name)
                error.add_note(f"thin id {device.thin_id} could not be deleted afterwards: {second}")
                raise error from None
            self._metadata.remove(device.name)
            self._report(
                DeviceEventKind.DISCARD_SKIPPED, snapshot, device, DiscardSkipped.NOT_ACTIVE_UNCOMMITTED
            )
            self._report(DeviceEventKind.DELETED, snapshot, device)
            raise

    async def _resume_origin(self, base: str) -> None:
        try:
            await self.resume(base)
        except ThinsimError as error:
            _log.error("device %s could not be resumed after its snapshot: %s", base, error)

    async def _deactivate(
        self, device: DeviceRecord, discarding: Discarding, snapshot: str, *, deferred: bool, force: bool
    ) -> None:
        async def discard_and_remove() -> None:
            begin = self._metadata.mark_discarded
            await discarding.run(self._dm, self._host, device.name, self._table(device), begin)
            try:
                await self._dm.remove(device.name, deferred=deferred, force=force, retry=True)
            except DeviceMapperError as error:
                # An earlier deferred removal may have removed it at its last close.
                if error.errno != errno.ENXIO:
                    raise

        try:
            with self.transition(device.name, DeviceState.DEACTIVATING, DeviceState.DEACTIVATED):
                await self._retry.busy.run(f"deactivating {device.name}", discard_and_remove)
        except DeviceMapperError as error:
            if error.errno == errno.EBUSY and discarding.waits:
                raise DiscardPutOffError(
                    f"device {device.name} is in use and cannot be discarded now"
                ) from error
            raise
        finally:
            if discarding.took_place:
                self._report_discard(discarding, snapshot, device)
        self._report(DeviceEventKind.DEACTIVATED, snapshot, device, "deferred" if deferred else "")

    async def _delete(self, device: DeviceRecord) -> None:
        async def delete() -> None:
            try:
                await self._dm.message(self._pool_name, 0, f"delete {device.thin_id}")
            except DeviceMapperError as error:
                # An earlier try deleted the thin id and was interrupted before it forgot the device.
                if error.errno != errno.ENODATA:
                    raise

        with self.transition(device.name, DeviceState.REMOVING, DeviceState.REMOVED):
            await self._retry.busy.run(f"deleting thin id {device.thin_id}", delete)

    def _report(self, kind: DeviceEventKind, snapshot: str, device: DeviceRecord, detail: str = "") -> None:
        self._observer(DeviceEvent(kind, snapshot, device.name, device.thin_id, detail))

    def _report_discard(self, discarding: Discarding, snapshot: str, device: DeviceRecord) -> None:
        kind, detail = discarding.event
        self._report(kind, snapshot, device, detail)

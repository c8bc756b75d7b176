"""The devmapper snapshotter: snapshots in the store, their devices in the pool, kept in step.

Behaviour of containerd ``plugins/snapshots/devmapper/snapshotter.go``. Who reads what: a verb that
changes anything runs its device operations inside the store's write transaction; what it did to
devices stays recorded in the pool's metadata even if that rolls back.
"""

import errno
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Self

import trio

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import DeviceMapperError, EnvironmentLacksError, ThinsimError
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.snapshotter.events import Observer, ignore
from thinsim.snapshotter.filters.parsing import parse_filters
from thinsim.snapshotter.filters.snapshots import fields_of
from thinsim.snapshotter.host import SnapshotHost
from thinsim.snapshotter.interface import Info, Kind, Mount, Usage
from thinsim.snapshotter.metastore import MetaStore
from thinsim.snapshotter.mounting import FS_TYPE_LABEL, inherited_fs_type, mount_of
from thinsim.snapshotter.pool_device import PoolDevice
from thinsim.snapshotter.pool_metadata import DeviceRecord, PoolMetadata
from thinsim.snapshotter.retry import CONTAINERD_RETRY, BusyRetry
from thinsim.snapshotter.snapshot_tables import SnapshotRecord, SnapshotWriter
from thinsim.snapshotter.startup import settle_devices

_log = logging.getLogger(__name__)


class DevmapperSnapshotter:
    """A Snapshotter on the thin pool that *config* names; ``open`` makes one and checks the pool.

    Constructing makes the root directory and the two databases, ``metadata.db`` and ``POOL.db``.
    InvalidConfigError before anything is touched.
    """

    def __init__(
        self,
        config: Config,
        dm: DeviceMapper,
        host: SnapshotHost,
        *,
        observer: Observer | None = None,
        retry: BusyRetry = CONTAINERD_RETRY,
    ) -> None:
        config.validate()
        self._config = config
        self._dm = dm
        self._host = host
        config.root_path.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._store = MetaStore(config.root_path / "metadata.db")
        self._metadata = PoolMetadata(config.root_path / f"{config.pool_name}.db")
        self._pool = PoolDevice(
            dm,
            host,
            self._metadata,
            config.pool_name,
            discard_blocks=config.discard_blocks,
            observer=observer or ignore,
            retry=retry,
        )
        self._cleaning = trio.Lock()

    @classmethod
    async def open(
        cls,
        config: Config,
        dm: DeviceMapper,
        host: SnapshotHost,
        *,
        observer: Observer | None = None,
        retry: BusyRetry = CONTAINERD_RETRY,
    ) -> Self:
        """Return a snapshotter on an existing pool, devices of an earlier run settled.

        EnvironmentLacksError if there is no pool of that name; FailedPreconditionError if a device that
        was active cannot be activated again.
        """
        config.validate()
        try:
            await dm.info(config.pool_name)
        except DeviceMapperError as error:
            if error.errno != errno.ENXIO:
                raise
            raise EnvironmentLacksError(
                f"thin pool {config.pool_name!r} does not exist; create it first: "
                f"dmsetup create {config.pool_name} --table '0 SECTORS thin-pool METADATA DATA 128 32768'"
            ) from error
        snapshotter = cls(config, dm, host, observer=observer, retry=retry)
        try:
            await settle_devices(snapshotter._pool, snapshotter._metadata)
        except BaseException:
            await snapshotter.close()
            raise
        return snapshotter

    async def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> list[Mount]:
        """Make a writable snapshot: a new file system without a parent, else a snapshot of its device."""
        return await self._create(Kind.ACTIVE, key, parent, labels)

    async def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[Mount]:
        """Make a snapshot whose mount is read-only. Its device is as writable as any."""
        return await self._create(Kind.VIEW, key, parent, labels)

    async def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None) -> None:
        """Turn active *key* into committed *name* and deactivate its device.

        Labels are not inherited, but for the file system type. The device goes at its last close if it
        is open now, without a discard: nothing will discard it later (leak A of containerd).
        """
        async with self._store.write() as store:
            record = store.get(key)
            device = self._device_name(record)
            usage = Usage(await self._pool.usage(device))
            fs_type = record.info.labels.get(FS_TYPE_LABEL)
            kept = {FS_TYPE_LABEL: fs_type} if fs_type else {}
            store.commit(key, name, usage, {**(labels or {}), **kept})
            # Suspending flushes; resuming before the removal keeps a process with the device open
            # from hanging on it.
            await self._pool.suspend(device)
            await self._pool.resume(device)
            await self._pool.deactivate(device, deferred=True, force=False, snapshot=name)

    async def remove(self, key: str) -> None:
        """Remove a snapshot and its device, or with ``async_remove`` leave the device to ``cleanup``.

        Any failure of the device is a FailedPreconditionError, and the snapshot stays.
        """
        async with self._store.write() as store:
            record = store.remove(key)
            device = self._device_name(record)
            if self._config.async_remove:
                self._pool.mark(device, DeviceState.REMOVED)
                store.defer(record)
                return
            try:
                await self._remove_device(device, key, record.info.kind)
            except ThinsimError as error:
                raise FailedPreconditionError(f"cannot remove snapshot {key!r}: {error}") from error

    async def mounts(self, key: str) -> list[Mount]:
        """Return the mount of an active snapshot or view. FailedPreconditionError for a committed one."""
        record = self._store.read.get(key)
        return [mount_of(record.info, self._dm.path(self._device_name(record)))]

    async def usage(self, key: str) -> Usage:
        """Return bytes mapped now (active) or at commit, minus the parent's at its commit.

        A view counts as 0 minus its parent: negative, as in containerd.
        """
        store = self._store.read
        record = store.get(key)
        below = store.get(record.info.parent).usage.size if record.info.parent else 0
        size = record.usage.size
        if record.info.kind is Kind.ACTIVE:
            size = await self._pool.usage(self._device_name(record))
        return Usage(size - below, record.usage.inodes)

    async def stat(self, key: str) -> Info:
        """Return the record of *key*. NotFoundError."""
        return self._store.read.get(key).info

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Replace labels: all, or those of ``labels.NAME`` paths."""
        async with self._store.write() as store:
            return store.update(info, *fieldpaths)

    def walk(self, *filters: str) -> AsyncIterator[Info]:
        """Yield every record as of now that fits a filter, by name; other verbs may be called meanwhile."""
        wanted = parse_filters(*filters)
        infos = (record.info for record in self._store.read.all())
        return _Walk([info for info in infos if wanted.matches(fields_of(info))])

    async def cleanup(self) -> None:
        """Remove every device in state Removed; nothing without ``async_remove``.

        One failure does not keep the others back; FailedPreconditionError lists all. Such a device is
        in another state then, and a later cleanup passes it over, as in containerd.
        """
        if not self._config.async_remove:
            return
        failures = []
        async with self._cleaning:
            for device in self._metadata.devices():
                if device.state is DeviceState.REMOVED:
                    try:
                        await self._clean_up(device)
                    except ThinsimError as error:
                        failures.append(f"{device.name}: {error}")
        if failures:
            raise FailedPreconditionError(f"cleanup left {len(failures)} devices: " + "; ".join(failures))

    async def close(self) -> None:
        """Close the two databases; pool and devices stay. Idempotent."""
        self._store.close()
        self._metadata.close()

    def device_of(self, key: str) -> DeviceRecord:
        """Return the device of a snapshot of any kind. NotFoundError."""
        return self._metadata.get(self._device_name(self._store.read.get(key)))

    async def _create(
        self, kind: Kind, key: str, parent: str, labels: Mapping[str, str] | None
    ) -> list[Mount]:
        async with self._store.write() as store:
            base = store.get(parent).info if parent else None
            fs_type = self._config.fs_type if base is None else inherited_fs_type(base.labels)
            record = store.create(kind, key, parent, {**(labels or {}), FS_TYPE_LABEL: fs_type})
            await self._create_device(store, record)
            mount = mount_of(record.info, self._dm.path(self._device_name(record)))
            await self._host.remove_lost_and_found(mount)
        return [mount]

    async def _create_device(self, store: SnapshotWriter, record: SnapshotRecord) -> None:
        name, key, size = self._device_name(record), record.info.name, self._config.base_image_bytes
        if record.info.parent:
            base = self._device_name(store.get(record.info.parent))
            await self._pool.create_snapshot_device(base, name, size, snapshot=key)
            return
        await self._pool.create_thin_device(name, size, snapshot=key)
        try:
            await self._host.make_filesystem(
                self._dm.path(name), self._config.fs_type, self._config.mkfs_options
            )
        except Exception as error:
            try:
                await self._pool.remove_device(name, snapshot=key)
            except ThinsimError as second:
                error.add_note(f"and its device {name} could not be removed: {second}")
            raise

    async def _remove_device(self, device: str, snapshot: str, kind: Kind) -> None:
        committed = kind is Kind.COMMITTED
        await self._pool.remove_device(
            device,
            snapshot=snapshot,
            committed=committed,
            discard_inactive=committed and self._config.discard_committed,
        )

    async def _clean_up(self, device: DeviceRecord) -> None:
        """Remove one device that waits. Outside the store's transaction: a slow discard holds up no verb."""
        snapshot_id = int(device.name.removeprefix(self._prefix))
        owner = self._store.read.owner(snapshot_id)
        with trio.CancelScope(shield=True):
            if owner is None:
                await self._remove_device(device.name, "", Kind.ACTIVE)
            else:
                await self._remove_device(device.name, owner.name, owner.kind)
            async with self._store.write() as store:
                store.forget(snapshot_id)

    @property
    def _prefix(self) -> str:
        # The pool's name keeps devices of several pools apart.
        return f"{self._config.pool_name}-snap-"

    def _device_name(self, record: SnapshotRecord) -> str:
        return f"{self._prefix}{record.id}"


class _Walk:
    """Iterates a list asynchronously. Not a generator: one left unfinished would want to be closed."""

    def __init__(self, infos: list[Info]) -> None:
        self._infos = iter(infos)

    def __aiter__(self) -> AsyncIterator[Info]:
        return self

    async def __anext__(self) -> Info:
        await trio.lowlevel.checkpoint()
        for info in self._infos:
            return info
        raise StopAsyncIteration

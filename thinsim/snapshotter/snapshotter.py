"""`DevmapperSnapshotter` keeps the snapshots in the store consistent with their devices in the pool.

It follows containerd ``plugins/snapshots/devmapper/snapshotter.go``. A verb that changes anything waits
for its turn, reads the store, acts on devices, and writes the store in one transaction at the end.
Readers see a snapshot as before the verb or after it. Each act on a device is recorded in the device
store at once, even if the verb fails later.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Self

import trio

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import DeviceMapperError, ThinsimError
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.database import WatchWrites, unwatched
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.device_store import DeviceRecord, DeviceStore
from thinsim.snapshotter.discarding import DiscardPolicy, DiscardPutOffError
from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.snapshotter.events import Observer, ignore
from thinsim.snapshotter.filters.parsing import parse_filters
from thinsim.snapshotter.filters.snapshots import fields_of
from thinsim.snapshotter.host import SnapshotHost
from thinsim.snapshotter.interface import Info, Kind, Mount, Usage
from thinsim.snapshotter.metastore import MetaStore
from thinsim.snapshotter.mounting import FS_TYPE_LABEL, inherited_fs_type, mount_of
from thinsim.snapshotter.pool_contents import OpenMetadata, PoolContents, open_metadata_node
from thinsim.snapshotter.pool_device import PoolDevice
from thinsim.snapshotter.repair import Repair, RepairReport
from thinsim.snapshotter.retry import CONTAINERD_RETRY, RetryRules
from thinsim.snapshotter.root_lock import RootLock
from thinsim.snapshotter.snapshot_tables import DeviceOwner, SnapshotRecord
from thinsim.snapshotter.startup import require_passdown, require_pool, settle_devices
from thinsim.snapshotter.turns import Turns
from thinsim.snapshotter.undisturbed import undisturbed

_log = logging.getLogger(__name__)


class DevmapperSnapshotter:
    """A `DevmapperSnapshotter` is a `Snapshotter` on the thin pool that *config* names.

    Use ``open``, which also checks the pool. The constructor creates the root directory and the two
    databases, ``metadata.db`` and ``POOL.db``. It raises InvalidConfigError before it creates anything, and
    FailedPreconditionError while another process uses the root directory.
    """

    def __init__(
        self,
        config: Config,
        dm: DeviceMapper,
        host: SnapshotHost,
        *,
        observer: Observer | None = None,
        retry: RetryRules = CONTAINERD_RETRY,
        open_metadata: OpenMetadata = open_metadata_node,
        watch_writes: WatchWrites = unwatched,
    ) -> None:
        config.validate()
        self._config = config
        self._dm = dm
        self._host = host
        config.root_path.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._root = RootLock(config.root_path)
        self._policy = DiscardPolicy.of(config)
        self._store = MetaStore(config.root_path / "metadata.db", watch_writes)
        self._metadata = DeviceStore(config.root_path / f"{config.pool_name}.db", watch_writes)
        self._pool = PoolDevice(
            dm,
            host,
            self._metadata,
            config.pool_name,
            policy=self._policy,
            observer=observer or ignore,
            retry=retry.bounded(config.busy_timeout),
        )
        self._contents = PoolContents(dm, config.pool_name, self._metadata, open_metadata)
        self._turns = Turns(concurrent=config.concurrent)
        self._cleaning = trio.Lock()

    @classmethod
    async def open(
        cls,
        config: Config,
        dm: DeviceMapper,
        host: SnapshotHost,
        *,
        observer: Observer | None = None,
        retry: RetryRules = CONTAINERD_RETRY,
        open_metadata: OpenMetadata = open_metadata_node,
        watch_writes: WatchWrites = unwatched,
    ) -> Self:
        """Return a snapshotter on an existing pool, after settling the devices of an earlier run.

        *open_metadata* opens the pool's metadata device on rigs without device nodes. *watch_writes* is
        called with a description of each write to the two databases right before its commit.

        Raise EnvironmentLacksError if the pool does not exist, or if ``require_passdown`` is on and the pool
        does not pass discards down; FailedPreconditionError if a device that was active cannot be activated
        again.
        """
        config.validate()
        await require_pool(dm, config.pool_name)
        if config.require_passdown:
            await require_passdown(dm, config.pool_name)
        snapshotter = cls(
            config,
            dm,
            host,
            observer=observer,
            retry=retry,
            open_metadata=open_metadata,
            watch_writes=watch_writes,
        )
        try:
            await snapshotter._contents.release_left()
            await settle_devices(snapshotter._pool, snapshotter._metadata, snapshotter._waiting())
        except BaseException:
            await snapshotter.close()
            raise
        return snapshotter

    async def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> list[Mount]:
        """Create a writable snapshot: a new file system, or a snapshot of the parent's device."""
        return await self._create(Kind.ACTIVE, key, parent, labels)

    async def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[Mount]:
        """Create a snapshot with a read-only mount. Its device stays writable."""
        return await self._create(Kind.VIEW, key, parent, labels)

    async def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None) -> None:
        """Turn the active snapshot *key* into the committed snapshot *name* and deactivate its device.

        The file system type is the only old label that stays. A device that is open now is removed at its
        last close, without a discard; nothing discards it later (leak A of containerd).
        """
        async with self._turns.turn(key, name):
            record = self._store.read.committable(key, name)
            device = self._device_name(record)
            usage = await self._usage_at_commit(record)
            fs_type = record.info.labels.get(FS_TYPE_LABEL)
            kept = {FS_TYPE_LABEL: fs_type} if fs_type else {}
            # Suspending flushes the I/O. Without the resume, a process with the device open would hang.
            await self._pool.suspend(device)
            await self._pool.resume(device)
            await self._pool.deactivate(device, deferred=True, force=False, snapshot=name)
            with self._store.write(f"commit {key} as {name}") as store:
                store.commit(key, name, usage, {**(labels or {}), **kept})

    async def remove(self, key: str) -> None:
        """Remove a snapshot and its device, or with ``async_remove`` leave the device to ``cleanup``.

        Any failure of the device raises FailedPreconditionError, and the snapshot stays. With
        ``discard_later`` a device in use is also left to ``cleanup``.
        """
        async with self._turns.turn(key):
            record = self._store.read.removable(key)
            device = self._device_name(record)
            if self._config.async_remove:
                self._leave_to_cleanup(record)
                return
            try:
                await self._remove_device(device, DeviceOwner(key, record.info.kind))
            except DiscardPutOffError as error:
                _log.warning("removed snapshot %s; its device is left to cleanup: %s", key, error)
                self._leave_to_cleanup(record)
                return
            except ThinsimError as error:
                raise FailedPreconditionError(f"cannot remove snapshot {key!r}: {error}") from error
            with self._store.write(f"remove {key}") as store:
                store.remove(key)

    async def mounts(self, key: str) -> list[Mount]:
        """Return the mount of an active snapshot or view.

        Raise FailedPreconditionError for a committed snapshot.
        """
        record = self._store.read.get(key)
        return [mount_of(record.info, self._dm.path(self._device_name(record)))]

    async def usage(self, key: str) -> Usage:
        """Return the bytes mapped now (active) or at commit, minus those of the parent at its commit.

        A view counts as 0 bytes, so its usage is negative, as in containerd. With ``exact_usage``, return
        the bytes that the snapshot does not share with its parent, now or at commit.
        """
        store = self._store.read
        record = store.get(key)
        below = store.get(record.info.parent).usage.size if record.info.parent else 0
        if record.info.kind is not Kind.COMMITTED and self._config.exact_usage:
            return Usage(await self._exclusive(record))
        size = record.usage.size
        if record.info.kind is Kind.ACTIVE:
            size = await self._pool.usage(self._device_name(record))
        return Usage(size - below, record.usage.inodes)

    async def stat(self, key: str) -> Info:
        """Return the record of *key*. Raise NotFoundError if it does not exist."""
        return self._store.read.get(key).info

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Replace all labels, or only those of ``labels.NAME`` paths."""
        async with self._turns.turn(info.name):
            with self._store.write(f"labels of {info.name}") as store:
                return store.update(info, *fieldpaths)

    def walk(self, *filters: str) -> AsyncIterator[Info]:
        """Yield the records as of now that match a filter, sorted by name. Other verbs may run meanwhile."""
        wanted = parse_filters(*filters)
        infos = (record.info for record in self._store.read.all())
        return _Walk([info for info in infos if wanted.matches(fields_of(info))])

    async def cleanup(self) -> None:
        """Remove the devices that removals have left with ``async_remove`` or ``discard_later``.

        A failure does not stop the other removals; FailedPreconditionError lists all failures. A failure
        changes the state of its device, so a later cleanup skips the device, as in containerd. With
        ``discard_later`` every cleanup tries it again.
        """
        if not (self._config.async_remove or self._config.discard_later):
            return
        failures = []
        async with self._cleaning:
            waiting = self._waiting() if self._config.discard_later else frozenset()
            for device in self._metadata.devices():
                if device.state is DeviceState.REMOVED or device.name in waiting:
                    try:
                        await self._clean_up(device)
                    except ThinsimError as error:
                        failures.append(f"{device.name}: {error}")
        if failures:
            raise FailedPreconditionError(
                f"cleanup could not remove {len(failures)} devices: " + "; ".join(failures)
            )

    async def reset_pool(self) -> None:
        """Remove every recorded device, even those of snapshots; the store keeps its records.

        This is for benchmarks, as in containerd: it leaves snapshots without devices. A failure does not
        stop the other removals; FailedPreconditionError lists all failures.
        """
        failures = []
        async with self._cleaning:
            for device in self._metadata.devices():
                try:
                    with undisturbed():
                        await self._pool.remove_device(device.name)
                except ThinsimError as error:
                    failures.append(f"{device.name}: {error}")
        if failures:
            raise FailedPreconditionError(
                f"reset could not remove {len(failures)} devices: " + "; ".join(failures)
            )

    async def repair(self) -> RepairReport:
        """Make the store, the device records and the pool agree after a crash. Call it before other verbs.

        It removes devices without a snapshot and frees their thin ids, finishes interrupted removals, and
        reports the rest (``thinsim.snapshotter.repair``).
        """
        work = Repair(
            self._dm, self._pool, self._store, self._metadata, self._contents, self._config.pool_name
        )
        async with self._cleaning:
            with undisturbed():
                return await work.run(discard=self._policy.at_all)

    async def close(self) -> None:
        """Close the two databases; the pool and its devices stay. A second call does nothing."""
        self._store.close()
        self._metadata.close()
        self._root.release()

    def device_of(self, key: str) -> DeviceRecord:
        """Return the device of a snapshot of any kind. Raise NotFoundError if it does not exist."""
        return self._metadata.get(self._device_name(self._store.read.get(key)))

    async def _create(
        self, kind: Kind, key: str, parent: str, labels: Mapping[str, str] | None
    ) -> list[Mount]:
        async with self._turns.turn(key, keeps=[parent]):
            base = self._store.read.get(parent).info if parent else None
            fs_type = self._config.fs_type if base is None else inherited_fs_type(base.labels)
            if base is not None and self.device_of(parent).discarded:
                raise FailedPreconditionError(
                    f"the removal of snapshot {parent!r} was interrupted after the discard of its content: "
                    "remove it"
                )
            record = self._plan(kind, key, parent, {**(labels or {}), FS_TYPE_LABEL: fs_type})
            await self._create_device(record)
            mount = mount_of(record.info, self._dm.path(self._device_name(record)))
            await self._host.remove_lost_and_found(mount)
            with self._store.write(f"add {key}") as store:
                store.add(record)
        return [mount]

    def _plan(self, kind: Kind, key: str, parent: str, labels: Mapping[str, str]) -> SnapshotRecord:
        """Return the record to add at the end of the verb. Concurrent verbs get different ids."""
        if not self._config.concurrent:
            # The next verb uses the id of a failed one, as in containerd.
            return self._store.read.plan(kind, key, parent, labels)
        with self._store.write(f"id of {key}") as store:
            record = store.plan(kind, key, parent, labels)
            store.reserve(record)
        return record

    async def _create_device(self, record: SnapshotRecord) -> None:
        name, key, size = self._device_name(record), record.info.name, self._config.base_image_bytes
        if record.parent_id is not None:
            base = f"{self._prefix}{record.parent_id}"
            await self._pool.create_snapshot_device(base, name, size, snapshot=key)
            return
        await self._pool.create_thin_device(name, size, snapshot=key)
        try:
            await self._host.make_filesystem(
                self._dm.path(name), self._config.fs_type, self._config.mkfs_options
            )
        except Exception as error:
            error.add_note(f"pool status: {await self._pool_status()}")
            try:
                await self._pool.remove_device(name, snapshot=key)
            except ThinsimError as second:
                error.add_note(f"device {name} could not be removed afterwards: {second}")
            raise

    async def _pool_status(self) -> str:
        try:
            return await self._dm.status(self._config.pool_name)
        except DeviceMapperError as error:
            return f"unavailable: {error}"

    async def _usage_at_commit(self, record: SnapshotRecord) -> Usage:
        """Return the usage to store: the snapshot's own bytes plus those of its parents."""
        if not self._config.exact_usage:
            return Usage(await self._pool.usage(self._device_name(record)))
        parent = record.info.parent
        below = self._store.read.get(parent).usage.size if parent else 0
        return Usage(below + await self._exclusive(record))

    async def _exclusive(self, record: SnapshotRecord) -> int:
        own = self._metadata.get(self._device_name(record)).thin_id
        parent = record.parent_id
        base = None if parent is None else self._metadata.get(f"{self._prefix}{parent}").thin_id
        return await self._contents.exclusive_bytes(own, base)

    def _leave_to_cleanup(self, record: SnapshotRecord) -> None:
        # The store comes first: after a crash between the two writes it shows that the device has to go.
        with self._store.write(f"remove {record.info.name}, leave its device to cleanup") as store:
            store.remove(record.info.name)
            store.defer(record)
        self._pool.mark(self._device_name(record), DeviceState.REMOVED)

    def _waiting(self) -> frozenset[str]:
        """Return the devices that wait for cleanup."""
        return frozenset(f"{self._prefix}{snapshot_id}" for snapshot_id in self._store.read.waiting())

    async def _remove_device(self, device: str, owner: DeviceOwner) -> None:
        await self._pool.remove_device(device, snapshot=owner.name, committed=owner.kind is Kind.COMMITTED)

    async def _clean_up(self, device: DeviceRecord) -> None:
        """Remove a device that waits. No snapshot has it, so it takes no turn and delays no verb."""
        snapshot_id = int(device.name.removeprefix(self._prefix))
        owner = self._store.read.owner(snapshot_id) or DeviceOwner("", Kind.ACTIVE)
        with undisturbed():
            await self._remove_device(device.name, owner)
            with self._store.write(f"{device.name} is cleaned up") as store:
                store.forget(snapshot_id)

    @property
    def _prefix(self) -> str:
        # The pool's name keeps devices of several pools apart.
        return f"{self._config.pool_name}-snap-"

    def _device_name(self, record: SnapshotRecord) -> str:
        return f"{self._prefix}{record.id}"


class _Walk:
    """A `_Walk` yields the items of a list. Unlike a generator, it need not be closed if left unfinished."""

    def __init__(self, infos: list[Info]) -> None:
        self._infos = iter(infos)

    def __aiter__(self) -> AsyncIterator[Info]:
        return self

    async def __anext__(self) -> Info:
        await trio.lowlevel.checkpoint()
        for info in self._infos:
            return info
        raise StopAsyncIteration

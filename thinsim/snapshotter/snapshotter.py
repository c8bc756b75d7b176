"""The devmapper snapshotter keeps snapshots in the store and their devices in the pool in step.

Behaviour of containerd ``plugins/snapshots/devmapper/snapshotter.go``. A verb that changes anything
takes its turn, reads the store, acts on devices, and writes the store in one transaction at the end:
readers see a snapshot before the verb or after it. What was done to devices is recorded in the pool's
metadata act by act, whatever becomes of the verb.
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
    """A Snapshotter on the thin pool that *config* names; ``open`` makes one and checks the pool.

    Constructing makes the root directory and the two databases, ``metadata.db`` and ``POOL.db``.
    InvalidConfigError before anything is touched; FailedPreconditionError while another process has
    the root directory.
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
        """Return a snapshotter on an existing pool, devices of an earlier run settled.

        EnvironmentLacksError if there is no pool of that name, or if ``require_passdown`` finds that its
        discards lead nowhere; FailedPreconditionError if a device that was active cannot be activated
        again. *open_metadata* opens the pool's metadata device where it has no node; *watch_writes* is
        told of each write to the two databases right before it is committed.
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
        async with self._turns.turn(key, name):
            record = self._store.read.committable(key, name)
            device = self._device_name(record)
            usage = await self._usage_at_commit(record)
            fs_type = record.info.labels.get(FS_TYPE_LABEL)
            kept = {FS_TYPE_LABEL: fs_type} if fs_type else {}
            # Suspending flushes; resuming before the removal keeps a process with the device open
            # from hanging on it.
            await self._pool.suspend(device)
            await self._pool.resume(device)
            await self._pool.deactivate(device, deferred=True, force=False, snapshot=name)
            with self._store.write(f"commit {key} as {name}") as store:
                store.commit(key, name, usage, {**(labels or {}), **kept})

    async def remove(self, key: str) -> None:
        """Remove a snapshot and its device, or with ``async_remove`` leave the device to ``cleanup``.

        Any failure of the device is a FailedPreconditionError, and the snapshot stays. With
        ``discard_later`` a device that is in use is left to ``cleanup``, too.
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
                _log.warning("snapshot %s is removed, its device is left to cleanup: %s", key, error)
                self._leave_to_cleanup(record)
                return
            except ThinsimError as error:
                raise FailedPreconditionError(f"cannot remove snapshot {key!r}: {error}") from error
            with self._store.write(f"remove {key}") as store:
                store.remove(key)

    async def mounts(self, key: str) -> list[Mount]:
        """Return the mount of an active snapshot or view. FailedPreconditionError for a committed one."""
        record = self._store.read.get(key)
        return [mount_of(record.info, self._dm.path(self._device_name(record)))]

    async def usage(self, key: str) -> Usage:
        """Return bytes mapped now (active) or at commit, minus the parent's at its commit.

        A view counts as 0 minus its parent: negative, as in containerd. With ``exact_usage``: the bytes
        that it does not share with its parent, now or at commit.
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
        """Return the record of *key*. NotFoundError."""
        return self._store.read.get(key).info

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Replace labels: all, or those of ``labels.NAME`` paths."""
        async with self._turns.turn(info.name):
            with self._store.write(f"labels of {info.name}") as store:
                return store.update(info, *fieldpaths)

    def walk(self, *filters: str) -> AsyncIterator[Info]:
        """Yield every record as of now that fits a filter, by name; other verbs may be called meanwhile."""
        wanted = parse_filters(*filters)
        infos = (record.info for record in self._store.read.all())
        return _Walk([info for info in infos if wanted.matches(fields_of(info))])

    async def cleanup(self) -> None:
        """Remove the devices that removals have left; nothing without ``async_remove``.

        One failure does not keep the others back; FailedPreconditionError lists all. Such a device is
        in another state then, and a later cleanup passes it over, as in containerd; with
        ``discard_later`` it is tried again by every cleanup, with or without ``async_remove``.
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
            raise FailedPreconditionError(f"cleanup left {len(failures)} devices: " + "; ".join(failures))

    async def reset_pool(self) -> None:
        """Remove every device of the pool's metadata, snapshots or not; the store keeps its records.

        For benchmarks, as in containerd: the snapshots are without devices then. One failure does not
        keep the others back; FailedPreconditionError lists all.
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
            raise FailedPreconditionError(f"reset left {len(failures)} devices: " + "; ".join(failures))

    async def repair(self) -> RepairReport:
        """Make store, pool metadata and pool agree after a crash; call it before other verbs.

        What is nobody's is removed from the pool and its thin ids are free again; what a crash has cut
        short is finished; what cannot be repaired is named. See ``thinsim.snapshotter.repair``.
        """
        work = Repair(
            self._dm, self._pool, self._store, self._metadata, self._contents, self._config.pool_name
        )
        async with self._cleaning:
            with undisturbed():
                return await work.run(discard=self._policy.at_all)

    async def close(self) -> None:
        """Close the two databases; pool and devices stay. Idempotent."""
        self._store.close()
        self._metadata.close()
        self._root.release()

    def device_of(self, key: str) -> DeviceRecord:
        """Return the device of a snapshot of any kind. NotFoundError."""
        return self._metadata.get(self._device_name(self._store.read.get(key)))

    async def _create(
        self, kind: Kind, key: str, parent: str, labels: Mapping[str, str] | None
    ) -> list[Mount]:
        async with self._turns.turn(key, keeps=[parent]):
            base = self._store.read.get(parent).info if parent else None
            fs_type = self._config.fs_type if base is None else inherited_fs_type(base.labels)
            if base is not None and self.device_of(parent).discarded:
                raise FailedPreconditionError(
                    f"the removal of snapshot {parent!r} was cut short, its content is discarded: remove it"
                )
            record = self._plan(kind, key, parent, {**(labels or {}), FS_TYPE_LABEL: fs_type})
            await self._create_device(record)
            mount = mount_of(record.info, self._dm.path(self._device_name(record)))
            await self._host.remove_lost_and_found(mount)
            with self._store.write(f"add {key}") as store:
                store.add(record)
        return [mount]

    def _plan(self, kind: Kind, key: str, parent: str, labels: Mapping[str, str]) -> SnapshotRecord:
        """Return the record to add in the end; another verb that runs meanwhile plans another id."""
        if not self._config.concurrent:
            # As in containerd a failed verb's id is the next one's.
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
                error.add_note(f"and its device {name} could not be removed: {second}")
            raise

    async def _pool_status(self) -> str:
        try:
            return await self._dm.status(self._config.pool_name)
        except DeviceMapperError as error:
            return f"unavailable: {error}"

    async def _usage_at_commit(self, record: SnapshotRecord) -> Usage:
        """Return what is stored: with the parent's subtracted it is what the snapshot adds."""
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
        # In this order: a crash between the two leaves a device whose owner says that it is to go.
        with self._store.write(f"remove {record.info.name}, its device waits") as store:
            store.remove(record.info.name)
            store.defer(record)
        self._pool.mark(self._device_name(record), DeviceState.REMOVED)

    def _waiting(self) -> frozenset[str]:
        """Return the devices that wait for cleanup."""
        return frozenset(f"{self._prefix}{snapshot_id}" for snapshot_id in self._store.read.waiting())

    async def _remove_device(self, device: str, owner: DeviceOwner) -> None:
        await self._pool.remove_device(device, snapshot=owner.name, committed=owner.kind is Kind.COMMITTED)

    async def _clean_up(self, device: DeviceRecord) -> None:
        """Remove one device that waits. No turn: it is nobody's any more, a slow discard holds up no verb."""
        snapshot_id = int(device.name.removeprefix(self._prefix))
        owner = self._store.read.owner(snapshot_id) or DeviceOwner("", Kind.ACTIVE)
        with undisturbed():
            await self._remove_device(device.name, owner)
            with self._store.write(f"forget that {device.name} waited") as store:
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

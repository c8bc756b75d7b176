"""`PoolContents` reads a pool's thin ids and mappings from its metadata device, through a metadata snapshot.

Status lines show neither which thin ids a pool has nor which blocks two of them share. The pool's
``reserve_metadata_snap`` message keeps one state of the metadata readable while the pool is in use
(Documentation/admin-guide/device-mapper/thin-provisioning.rst). thin_ls reads it in the same way.
"""

import errno
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from thinsim.block.linux import LinuxBlockDevice
from thinsim.dm.interface import DeviceMapper
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.errors import DeviceMapperError
from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.thin.metadata.dump import devices, superblock_of
from thinsim.thin.metadata.store import MetadataStore
from thinsim.thin.metadata.view import MetadataView
from thinsim.units import SECTOR_SIZE, Bytes

_Found = TypeVar("_Found")


class ClosableStore(MetadataStore, Protocol):
    """A `ClosableStore` is a metadata device that must be closed after reading."""

    def close(self) -> None:
        """Close the device."""


OpenMetadata = Callable[[str], ClosableStore]
"""Opens a metadata device, named as in the pool's table line, for reading."""


def open_metadata_node(device: str) -> ClosableStore:
    """Open *device*, ``major:minor`` or a path, with direct I/O: the page cache misses the pool's writes."""
    path = Path(device)
    if device[:1].isdigit():
        # Not /dev/block: udev creates it, and a container has no udev.
        path = Path("/dev", (Path("/sys/dev/block") / device).resolve(strict=True).name)
    return MetadataDevice(LinuxBlockDevice(path, read_only=True))


class Holding(Protocol):
    """A `Holding` records durably whether this snapshotter may hold a metadata snapshot."""

    holds_metadata_snapshot: bool


@dataclass(frozen=True, slots=True)
class ThinExtent:
    """A `ThinExtent` has the bytes that a thin id maps, shared ones included, and the end of the last one."""

    mapped: Bytes
    end: Bytes


class PoolContents:
    """A `PoolContents` reads the metadata of pool *pool_name* on *dm*.

    Its methods raise FailedPreconditionError while another program holds a metadata snapshot. *record*
    notes the metadata snapshot of this snapshotter, so that the one of a killed process can be released.
    """

    def __init__(
        self,
        dm: DeviceMapper,
        pool_name: str,
        record: Holding,
        open_metadata: OpenMetadata = open_metadata_node,
    ) -> None:
        self._dm = dm
        self._pool_name = pool_name
        self._record = record
        self._open = open_metadata
        self._lock = trio.Lock()

    async def release_left(self) -> None:
        """Release the metadata snapshot that a killed snapshotter has left."""
        async with self._lock:
            await self._release_left()

    async def thin_ids(self) -> Mapping[int, ThinExtent]:
        """Return every thin id of the pool and its `ThinExtent`."""

        def look(metadata: MetadataView) -> dict[int, ThinExtent]:
            superblock = superblock_of(metadata, held=True)
            block = superblock.data_block_size * SECTOR_SIZE
            return {
                device.thin_id: ThinExtent(
                    Bytes(device.details.mapped_blocks * block),
                    Bytes(max((run.vblock + run.length for run in device.runs), default=0) * block),
                )
                for device in devices(metadata, superblock)
            }

        return await self._look(look)

    async def exclusive_bytes(self, thin_id: int, parent: int | None) -> Bytes:
        """Return the bytes that *thin_id* maps and does not share with *parent* at the same offset."""

        def look(metadata: MetadataView) -> Bytes:
            superblock = superblock_of(metadata, held=True)
            found: dict[int, set[tuple[int, int]]] = {}
            for device in devices(metadata, superblock):
                if device.thin_id in (thin_id, parent):
                    found[device.thin_id] = {
                        (run.vblock + n, run.data_block + n) for run in device.runs for n in range(run.length)
                    }
            shared = found.get(parent, set()) if parent is not None else set()
            own = len(found.get(thin_id, set()) - shared)
            return Bytes(own * superblock.data_block_size * SECTOR_SIZE)

        return await self._look(look)

    async def _look(self, look: Callable[[MetadataView], _Found]) -> _Found:
        async with self._lock, self._held() as device:

            def work() -> _Found:
                store = self._open(device)
                try:
                    return look(MetadataView(store))
                finally:
                    store.close()

            return await trio.to_thread.run_sync(work)

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[str]:
        """Hold a metadata snapshot and yield the metadata device as the pool's table names it."""
        words = (await self._dm.table(self._pool_name)).split()
        with trio.CancelScope(shield=True):
            await self._release_left()
            self._record.holds_metadata_snapshot = True
            try:
                await self._dm.message(self._pool_name, 0, "reserve_metadata_snap")
            except DeviceMapperError as error:
                self._record.holds_metadata_snapshot = False
                if error.errno != errno.EBUSY:
                    raise
                raise FailedPreconditionError(
                    f"pool {self._pool_name} has a metadata snapshot already; if no program reads it, "
                    f"release it: dmsetup message {self._pool_name} 0 release_metadata_snap"
                ) from error
        try:
            yield words[3]
        finally:
            with trio.CancelScope(shield=True):
                await self._release()

    async def _release_left(self) -> None:
        if self._record.holds_metadata_snapshot:
            await self._release()

    async def _release(self) -> None:
        try:
            await self._dm.message(self._pool_name, 0, "release_metadata_snap")
        except DeviceMapperError as error:
            # The process was killed before it reserved one, or after it released it.
            if error.errno != errno.EINVAL:
                raise
        self._record.holds_metadata_snapshot = False

"""`held_mappings` reads the mappings of a pool that is active, from a metadata snapshot.

That is the kernel's way to read the metadata of a pool in use (Documentation/admin-guide/device-mapper/
thin-provisioning.rst, reserve_metadata_snap). The pool commits once, and stays in service.
"""

import errno
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import trio

from thinsim.block.linux import LinuxBlockDevice
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.errors import ConflictError, DeviceMapperError
from thinsim.node.active_pools import NodePool
from thinsim.thin.mapping import Run
from thinsim.thin.metadata.details import DeviceDetails
from thinsim.thin.metadata.dump import devices, superblock_of
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.store import MetadataStore
from thinsim.thin.metadata.view import MetadataView


@dataclass(frozen=True, slots=True)
class MappedThin:
    """A `MappedThin` is a thin device of a pool, active or not, with its mappings."""

    thin_id: int
    details: DeviceDetails
    runs: Sequence[Run]


async def held_mappings(pool: NodePool) -> Sequence[MappedThin]:
    """Return the thin devices of *pool*, by a metadata snapshot that is released again.

    ConflictError if somebody else holds a metadata snapshot, or if the metadata is damaged.
    """
    try:
        await pool.dm.message(pool.name, 0, "reserve_metadata_snap")
    except DeviceMapperError as error:
        if error.errno != errno.EBUSY:
            raise
        raise ConflictError(
            f"a metadata snapshot of pool {pool.name} is held, and a pool has one at most: wait, or if "
            f"nobody needs it: dmsetup message {pool.name} 0 release_metadata_snap"
        ) from error
    try:
        with closing(MetadataDevice(LinuxBlockDevice(pool.metadata_device, read_only=True))) as store:
            return await trio.to_thread.run_sync(_read, store, True)
    finally:
        with trio.CancelScope(shield=True):
            await pool.dm.message(pool.name, 0, "release_metadata_snap")


def mappings_of(store: MetadataStore) -> Sequence[MappedThin]:
    """Return the thin devices of a pool that is not active. ConflictError if the metadata is damaged."""
    return _read(store, False)


def _read(store: MetadataStore, held: bool) -> Sequence[MappedThin]:
    try:
        view = MetadataView(store)
        return [
            MappedThin(each.thin_id, each.details, list(each.runs))
            for each in devices(view, superblock_of(view, held=held))
        ]
    except MetadataDamagedError as error:
        raise ConflictError(f"the pool's metadata is damaged: {error}") from error

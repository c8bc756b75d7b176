"""`KernelPool` is a pool of the kernel's dm-thin on the backing store, whichever set-up made it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from thinsim.dm.clients import kernel_metadata
from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.errors import ConflictError, DeviceMapperError
from thinsim.machine.journal import Journal, TakenKind
from thinsim.rig.backing import DataBacking, open_backing
from thinsim.rig.data_place import DataPlace
from thinsim.rig.shape import PoolShape


@dataclass(frozen=True, slots=True)
class KernelPool:
    """A `KernelPool` is a pool that runs: its table names *metadata_device*, *data_device* has its I/O."""

    dm: KernelDeviceMapper
    shape: PoolShape
    backing: DataBacking
    data_device: Path
    metadata_device: Path
    metadata_file: Path
    """The file on the host; the pool claims the metadata device itself."""
    data_place: DataPlace | None = None
    """The place of the pool's data in the data file; None: the whole file."""
    metadata_place: DataPlace | None = None
    """The place of the pool's metadata in the metadata file; None: the whole file."""

    async def check(self, directory: Path) -> list[str]:
        """Run thin_check while the pool is suspended; return its complaints, none for a sound pool.

        Metadata that is part of a file is first copied to *directory*.
        """
        place = self.metadata_place
        if place is None:
            return await kernel_metadata.check(self.dm, self.shape.name, self.metadata_file)
        copy = directory / "metadata.copy"
        take = partial(_copy, self.metadata_file, place, copy)
        try:
            return await kernel_metadata.check(self.dm, self.shape.name, copy, before=take)
        finally:
            copy.unlink(missing_ok=True)


PoolMaker = Callable[[Path, Journal, KernelDeviceMapper], AbstractAsyncContextManager[KernelPool]]
"""Sets up a pool in a directory, which exists, and tears it down at the end of the context."""


@asynccontextmanager
async def on_loop_devices(
    shape: PoolShape, directory: Path, journal: Journal, dm: KernelDeviceMapper, *, uuid: str = ""
) -> AsyncIterator[KernelPool]:
    """Set up a pool of *shape* on two loop devices.

    A *uuid* identifies the pool, so others may use the same name. Each resource is in *journal* before it is
    taken.
    """
    async with open_backing(directory, shape, journal) as backing:
        await refuse_taken(dm, [shape.name])
        async with removed_at_end(dm, journal, shape.name, uuid=uuid):
            await dm.create(shape.name, backing.pool_table(shape), uuid=uuid)
            yield KernelPool(
                dm=dm,
                shape=shape,
                backing=backing,
                data_device=backing.data.path,
                metadata_device=backing.metadata.path,
                metadata_file=backing.metadata_file,
            )


async def refuse_taken(dm: KernelDeviceMapper, names: Sequence[str]) -> None:
    """Raise ConflictError if device-mapper has a device of one of *names*."""
    taken = sorted(set(names) & set(await dm.list()))
    if taken:
        raise ConflictError(
            f"this machine already has {', '.join(f'/dev/mapper/{name}' for name in taken)}, and thinsim "
            "does not touch it: run in a guest (--rig vm), or remove it first (dmsetup remove)"
        )


@asynccontextmanager
async def removed_at_end(
    dm: KernelDeviceMapper, journal: Journal, pool: str, *, uuid: str = "", below: Sequence[str] = ()
) -> AsyncIterator[None]:
    """Put *pool* and the devices *below* it into *journal*; remove them and its thin devices at the end.

    The UUIDs of these devices begin with *uuid*, which distinguishes them from others with the same names.
    """
    entry = journal.begin(TakenKind.MAPPED, pool=pool, uuid=uuid, below=list(below))
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await _remove_all(dm, pool, below)
        journal.end(entry)


async def _remove_all(dm: KernelDeviceMapper, pool: str, below: Sequence[str]) -> None:
    names = await dm.list()
    thins = [name for name in names if name.startswith(f"{pool}-")]
    for name in [*thins, *(each for each in (pool, *below) if each in names)]:
        try:
            await dm.remove(name, retry=True)
        except DeviceMapperError:
            # I/O to a suspended device waits and keeps it open.
            await dm.resume(name)
            await dm.remove(name, retry=True)


def _copy(file: Path, place: DataPlace, copy: Path) -> None:
    with file.open("rb") as source, copy.open("wb") as made:
        source.seek(place.start)
        left = place.length
        while left and (piece := source.read(min(left, 1 << 20))):
            # Seek over holes, so that the copy has them as well.
            made.seek(len(piece), 1) if not any(piece) else made.write(piece)
            left -= len(piece)
        made.truncate(place.length)

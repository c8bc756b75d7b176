"""The kernel rig: files on a FUSE backing store, loop devices on them, the kernel's own dm-thin on those."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from thinsim import loop
from thinsim.dm import kernel_metadata
from thinsim.dm.activity import Activity
from thinsim.dm.kernel import KernelDeviceMapper
from thinsim.errors import DeviceMapperError
from thinsim.rig.backing import stand_up_backing
from thinsim.rig.command_record import CommandRecord
from thinsim.rig.interface import PoolShape
from thinsim.rig.journal import Journal, Kind
from thinsim.rig.loop_rig import NOTHING, Contents, LoopRig, stand_up_host
from thinsim.thin.mapping import Run


@dataclass(slots=True)
class KernelRig(LoopRig):
    """A Rig that stands; see the module. Made by :func:`stand_up`."""

    record: CommandRecord

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Dump a metadata snapshot."""
        return await kernel_metadata.mappings(self.dm, self.shape.name, self.backing.metadata.path)

    async def check(self) -> list[str]:
        """Run thin_check while the pool is suspended."""
        return await kernel_metadata.check(self.dm, self.shape.name, self.backing.metadata_file)

    def subject_environment(self) -> Mapping[str, str]:
        """Put scripts that note what succeeded before dmsetup and blkdiscard."""
        return self.record.environment()

    async def take_activity(self) -> tuple[Activity, ...]:
        """Read what the scripts noted."""
        return self.record.take(await self.dm.list())


@asynccontextmanager
async def stand_up(
    directory: Path, shape: PoolShape, journal: Journal, contents: Contents = NOTHING
) -> AsyncIterator[KernelRig]:
    """Stand the rig up in *directory*, which exists and keeps the pool's files; tear it down on the way out.

    Everything taken is in *journal* before it is taken. EnvironmentLacksError without device-mapper.
    """
    dm = KernelDeviceMapper()
    async with AsyncExitStack() as stack:
        backing = await stack.enter_async_context(stand_up_backing(directory, shape, journal))
        entry = journal.begin(Kind.MAPPED, pool=shape.name)
        stack.callback(journal.end, entry)
        stack.push_async_callback(_remove_all, dm, shape.name)
        await dm.create(shape.name, backing.pool_table(shape))
        host, workload, files = stand_up_host(stack, directory, shape.name, journal, contents)
        programs = directory / "bin"
        programs.mkdir(mode=0o700)
        yield KernelRig(
            name="kernel",
            shape=shape,
            dm=dm,
            host=host,
            workload=workload,
            files=files,
            directory=directory,
            backing=backing,
            written_at_start=loop.traffic(backing.data.path).written_bytes,
            record=CommandRecord(programs),
        )


async def _remove_all(dm: KernelDeviceMapper, pool: str) -> None:
    """Remove the thin devices named after *pool*, then the pool."""
    with trio.CancelScope(shield=True):
        names = await dm.list()
        thins = [name for name in names if name.startswith(f"{pool}-")]
        for name in [*thins, *([pool] if pool in names else [])]:
            try:
                await dm.remove(name, retry=True)
            except DeviceMapperError:
                # Suspended, I/O on it waits and keeps it open.
                await dm.resume(name)
                await dm.remove(name, retry=True)

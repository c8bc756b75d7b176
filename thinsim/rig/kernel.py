"""The kernel rig: files on a FUSE backing store, loop devices on them, the kernel's own dm-thin on those.

How the pool comes onto its devices is one of the set-ups in ``thinsim.rig.setup``, or thinsim's own.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from thinsim.block import kernel_view
from thinsim.dm.activity import Activity
from thinsim.dm.clients import kernel_metadata
from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.machine.journal import Journal
from thinsim.rig.command_record import CommandRecord
from thinsim.rig.interface import PoolShape
from thinsim.rig.kernel_pool import KernelPool, PoolMaker, on_loop_devices
from thinsim.rig.loop_rig import NOTHING, Contents, LoopRig, stand_up_host
from thinsim.thin.mapping import Run


@dataclass(slots=True, kw_only=True)
class KernelRig(LoopRig):
    """A Rig that stands; see the module. Made by :func:`stand_up`."""

    pool: KernelPool
    record: CommandRecord

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Dump a metadata snapshot."""
        return await kernel_metadata.mappings(self.dm, self.shape.name, self.pool.metadata_device)

    async def check(self) -> list[str]:
        """Run thin_check while the pool is suspended."""
        return await self.pool.check(self.directory)

    def subject_environment(self) -> Mapping[str, str]:
        """Put scripts that note what succeeded before dmsetup and blkdiscard."""
        return self.record.environment()

    async def take_activity(self) -> tuple[Activity, ...]:
        """Read what the scripts noted."""
        return self.record.take(await self.dm.list())


@asynccontextmanager
async def stand_up(
    directory: Path,
    shape: PoolShape,
    journal: Journal,
    contents: Contents = NOTHING,
    make_pool: PoolMaker | None = None,
) -> AsyncIterator[KernelRig]:
    """Stand the rig up in *directory*, which exists and keeps the pool's files; tear it down on the way out.

    *make_pool* sets the pool up in its own shape; None: one of *shape* on two loop devices. Everything taken
    is in *journal* before it is taken. EnvironmentLacksError without device-mapper.
    """
    make_pool = make_pool or partial(on_loop_devices, shape)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(make_pool(directory, journal, KernelDeviceMapper()))
        host, workload, files = stand_up_host(stack, directory, pool.shape.name, journal, contents)
        programs = directory / "bin"
        programs.mkdir(mode=0o700)
        yield KernelRig(
            name="kernel",
            shape=pool.shape,
            dm=pool.dm,
            host=host,
            workload=workload,
            files=files,
            directory=directory,
            backing=pool.backing,
            data_device=pool.data_device,
            written_at_start=kernel_view.traffic(pool.data_device).written_bytes,
            place=pool.data_place,
            pool=pool,
            record=CommandRecord(programs),
        )

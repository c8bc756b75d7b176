"""The kernel rig runs the kernel's own dm-thin on loop devices, whose files are on a FUSE backing store.

A set-up of ``thinsim.rig.setup`` or thinsim itself creates the pool on its devices.
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
from thinsim.rig.contents import NOTHING, Contents
from thinsim.rig.kernel_pool import KernelPool, on_loop_devices
from thinsim.rig.loop_rig import LoopRig, equipment
from thinsim.rig.probes import DEVICES, KERNEL_DEVICE_MAPPER
from thinsim.rig.record import RigRecord
from thinsim.rig.shape import PoolShape
from thinsim.thin.mapping import Run


@dataclass(slots=True, kw_only=True)
class KernelRig(LoopRig):
    """A `KernelRig` is the Rig that :func:`running` sets up."""

    pool: KernelPool
    record: CommandRecord

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Return the mappings from a dump of a metadata snapshot."""
        return await kernel_metadata.mappings(self.dm, self.shape.name, self.pool.metadata_device)

    async def check(self) -> list[str]:
        """Run thin_check while the pool is suspended."""
        return await self.pool.check(self.directory)

    def subject_environment(self) -> Mapping[str, str]:
        """Return a PATH whose dmsetup and blkdiscard are scripts that log each command that succeeds."""
        return self.record.environment()

    async def take_activity(self) -> tuple[Activity, ...]:
        """Return the activity that the scripts logged."""
        return self.record.take(await self.dm.list())


@asynccontextmanager
async def running(
    directory: Path, shape: PoolShape, journal: Journal, contents: Contents = NOTHING
) -> AsyncIterator[KernelRig]:
    """Set up the rig in *directory*, which exists and keeps the pool's files; tear it down at the end.

    Each resource is in *journal* before it is taken. EnvironmentLacksError without device-mapper.
    """
    make_pool = contents.make_pool or partial(on_loop_devices, shape)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(make_pool(directory, journal, KernelDeviceMapper()))
        with_it = equipment(stack, directory, pool.shape.name, journal, contents)
        programs = directory / "bin"
        programs.mkdir(mode=0o700)
        yield KernelRig(
            name=KERNEL.name,
            shape=pool.shape,
            dm=pool.dm,
            host=with_it.host,
            mounter=with_it.mounter,
            workload=with_it.workload,
            files=with_it.files,
            directory=directory,
            backing=pool.backing,
            data_device=pool.data_device,
            written_at_start=kernel_view.traffic(pool.data_device).written_bytes,
            place=pool.data_place,
            pool=pool,
            record=CommandRecord(programs),
        )


KERNEL = RigRecord(
    name="kernel",
    needs=(*DEVICES, *KERNEL_DEVICE_MAPPER),
    running=running,
    takes_set_ups=True,
    in_kernel=True,
    lasting_device_mapper=KernelDeviceMapper,
    pool="the kernel's own dm-thin, on loop devices on the backing store; file systems are mounted",
    best_for="measuring what this machine's kernel does",
)

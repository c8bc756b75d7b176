"""The bare rig of the kernel's own dm-thin, on loop devices on a FUSE store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from thinsim.dm.clients import kernel_metadata
from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.machine.journal import Journal
from thinsim.rig.bare_nodes import BareNodesRig, host_of_its_own
from thinsim.rig.interface import PoolShape
from thinsim.rig.kernel_pool import KernelPool, on_loop_devices
from thinsim.thin.mapping import Run


@dataclass(slots=True, kw_only=True)
class BareKernelRig(BareNodesRig):
    """A BareRig that stands; see the module. Made by :func:`stand_up`."""

    pool: KernelPool
    name: str = "kernel"

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """See BareRig."""
        return await kernel_metadata.mappings(self.dm, self.shape.name, self.pool.metadata_device)

    async def check(self) -> list[str]:
        """See BareRig."""
        return await self.pool.check(self.directory)


@asynccontextmanager
async def stand_up(directory: Path, shape: PoolShape, journal: Journal) -> AsyncIterator[BareKernelRig]:
    """Stand the rig up in *directory*, which exists; everything taken is in *journal* before it is taken.

    EnvironmentLacksError without device-mapper.
    """
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            on_loop_devices(shape, directory, journal, KernelDeviceMapper())
        )
        host, mounter = host_of_its_own(stack, directory, journal)
        yield BareKernelRig(
            shape=shape,
            dm=pool.dm,
            host=host,
            mounter=mounter,
            directory=directory,
            backing=pool.backing,
            pool=pool,
        )

"""The bare rig of the emulated device-mapper: FUSE store, loop devices, ``/dev/mapper``, real mounts."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.machine.journal import Journal
from thinsim.rig.bare_nodes import BareNodesRig, host_of_its_own
from thinsim.rig.emulated_stack import stand_up_stack
from thinsim.rig.interface import PoolShape
from thinsim.thin.mapping import Run


@dataclass(slots=True, kw_only=True)
class BareEmulatedRig(BareNodesRig):
    """A BareRig that stands; see the module. Made by :func:`stand_up`."""

    dm: EmulatedDeviceMapper
    name: str = "emulated"

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """See BareRig."""
        return await self.dm.mappings(self.shape.name)

    async def check(self) -> list[str]:
        """See BareRig."""
        return list(await self.dm.check(self.shape.name))


@asynccontextmanager
async def stand_up(directory: Path, shape: PoolShape, journal: Journal) -> AsyncIterator[BareEmulatedRig]:
    """Stand the rig up in *directory*, which exists; everything taken is in *journal* before it is taken."""
    async with AsyncExitStack() as stack:
        lower = await stack.enter_async_context(stand_up_stack(directory, shape, journal))
        await lower.dm.create(shape.name, lower.pool_table(shape))
        host, mounter = host_of_its_own(stack, directory, journal)
        yield BareEmulatedRig(
            shape=shape, dm=lower.dm, host=host, mounter=mounter, directory=directory, backing=lower
        )

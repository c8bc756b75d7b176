"""`reclaim_pool` frees on the host what the pool of a run has freed, as ``thinsim reclaim`` does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thinsim.dm.interface import DeviceMapper
from thinsim.node.reclaim.committed_map import CommittedMap
from thinsim.node.reclaim.data_file import DataFile
from thinsim.node.reclaim.data_place import PoolData
from thinsim.node.reclaim.guard import NoGuard
from thinsim.node.reclaim.progress import ReclaimProgress
from thinsim.node.reclaim.rounds import ReclaimOptions, ReclaimTarget, reclaim_target
from thinsim.rig.interface import Rig
from thinsim.thin.status import parse_pool_status


@dataclass(frozen=True, slots=True)
class OwnPause:
    """An `OwnPause` suspends the pool of a run."""

    name: str
    dm: DeviceMapper
    words: Sequence[str] = ()
    """Always empty: the pool of a run has no guard."""

    async def suspend(self) -> None:
        await self.dm.suspend(self.name)

    async def resume(self) -> None:
        await self.dm.resume(self.name)

    async def is_suspended(self) -> bool:
        return (await self.dm.info(self.name)).suspended


@dataclass(frozen=True, slots=True)
class OwnDiscards:
    """`OwnDiscards` are discards of the data device of a run."""

    words: str
    unit: int
    punch: Callable[[int, int], None]

    def close(self) -> None:
        """Do nothing: each discard opens the device itself."""


async def reclaim_pool(rig: Rig, options: ReclaimOptions) -> ReclaimProgress:
    """Return what a reclaim of the pool of *rig* has freed. It has no guard: the end of a run resumes it.

    Raises what `reclaim_target` raises.
    """
    name, access, block_bytes = rig.shape.name, rig.data_access(), rig.shape.block_bytes
    status = parse_pool_status(await rig.dm.status(name))
    # The words are those of a pool's table; the process rig has files, which have no device number.
    metadata = (await rig.dm.table(name)).split()[3]
    freer = OwnDiscards(access.words, block_bytes, access.discard)
    place = PoolData(
        access.file, status.total_data * block_bytes, freer, DataFile(access.file, access.offset)
    )
    progress = ReclaimProgress(name)
    with CommittedMap(rig.open_metadata(metadata)) as committed:
        target = ReclaimTarget(name, rig.dm, block_bytes, OwnPause(name, rig.dm), committed, place)
        await reclaim_target(target, options, progress, lambda _: None, NoGuard())
    return progress

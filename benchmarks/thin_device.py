"""``python -m benchmarks.thin_device DIRECTORY SIZE`` prints a thin device's path, until its input ends.

The device is on an emulated pool with a metadata device for all of its blocks.
"""

import sys
from pathlib import Path

import trio

from thinsim.machine.journal import Journal
from thinsim.rig.emulated_stack import open_stack
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes, Sectors

BLOCK_SECTORS = 128


async def serve(directory: Path, size: int) -> None:
    """Set a pool up in *directory* with one thin device of *size* bytes; take both down at the end."""
    shape = PoolShape(
        name=f"bench-{directory.parent.name}-{directory.name}",
        data_size=Bytes(size + (size >> 2)),
        metadata_size=Bytes(64 << 20),
        block_size=Sectors(BLOCK_SECTORS),
        low_water_blocks=0,
        features=("skip_block_zeroing",),
    )
    journal = Journal.create()
    work = directory / "rig"
    work.mkdir()
    async with open_stack(work, shape, journal) as lower:
        name = f"{shape.name}-thin"
        await lower.dm.create(shape.name, lower.pool_table(shape))
        await lower.dm.message(shape.name, 0, "create_thin 0")
        await lower.dm.create(name, f"0 {size // 512} thin {lower.dm.path(shape.name)} 0")
        try:
            print(lower.dm.path(name).resolve(), flush=True)
            await trio.to_thread.run_sync(sys.stdin.read)
        finally:
            with trio.CancelScope(shield=True):
                await lower.dm.remove(name)
                await lower.dm.remove(shape.name)
    journal.close()


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]), int(sys.argv[2]))

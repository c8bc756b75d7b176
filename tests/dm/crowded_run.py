"""``python -m tests.dm.crowded_run DIRECTORY SEED`` writes to 64 thin devices at once and verifies them.

It ends with the status 0 if every byte was right and the metadata is sound.
"""

import random
import sys
from functools import partial
from pathlib import Path

import trio

from tests.dm.mappers_under_test import BLOCK, POOL, emulated_mapper, make_pool, make_thin, snap
from tests.dm.plane_oracle import PIECES, Region
from tests.dm.region_writer import RegionWriter, Terms
from thinsim.units import Bytes

DEVICES = 64
THIN_BLOCKS = 64
BLOCKS = DEVICES * THIN_BLOCKS * 2
SECONDS = 8.0
# The process shares the little memory, so its buffers are small: 128 KiB at most.
SIZES = (1, 1, 2, 4, 16, 32)


async def run(directory: Path, seed: int) -> None:
    """Make a pool in *directory*, write and verify."""
    (directory / "rig").mkdir()
    async with emulated_mapper(directory / "rig", Bytes(BLOCKS * BLOCK)) as mapper:
        await make_pool(mapper, blocks=BLOCKS)
        terms = Terms(mapper.no_space)
        writers = []
        for number in range(DEVICES):
            await make_thin(mapper, f"thin-{number}", number, THIN_BLOCKS)
            region = Region(number, 0, THIN_BLOCKS * PIECES)
            writers.append(RegionWriter(mapper.dm.path(f"thin-{number}"), region, None, seed, SIZES))
        async with trio.open_nursery() as nursery:
            limiter = trio.CapacityLimiter(DEVICES)
            for writer in writers:
                nursery.start_soon(partial(trio.to_thread.run_sync, writer.work, terms, limiter=limiter))
            print("crowded", flush=True)
            chance = random.Random(seed)
            try:
                with trio.move_on_after(SECONDS):
                    while not terms.stop.is_set():
                        origin = chance.randrange(DEVICES)
                        with trio.CancelScope(shield=True):
                            await snap(mapper, "snap", 100, f"thin-{origin}", origin, THIN_BLOCKS)
                        await trio.sleep(0.3)
                        with trio.CancelScope(shield=True):
                            await mapper.dm.remove("snap", retry=True)
                            await mapper.dm.message(POOL, 0, "delete 100")
            finally:
                terms.stop.set()
        for writer in writers:
            await trio.to_thread.run_sync(writer.verify)
            assert writer.requests > 0
        problems = list(await mapper.check(POOL))
        assert problems == []
        print(f"{sum(writer.requests for writer in writers)} requests, {await mapper.dm.plane_traffic(POOL)}")


if __name__ == "__main__":
    trio.run(run, Path(sys.argv[1]), int(sys.argv[2]))

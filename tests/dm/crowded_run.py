"""``python -m tests.dm.crowded_run DIRECTORY SEED BACKEND`` writes to 64 thin devices and verifies them.

The plane serves them with BACKEND. The run makes the file DIRECTORY/crowded when all have work, and begins to
fill the page cache when there is DIRECTORY/squeezed. It ends with the status 0 if every byte was right and
the metadata is sound.
"""

import random
import sys
from functools import partial
from pathlib import Path

import trio

from tests.dm.mappers_under_test import (
    BLOCK,
    POOL,
    EmulatedMapper,
    make_pool,
    make_thin,
    snap,
)
from tests.dm.plane_backends import assert_took_part, mapper_served_by
from tests.dm.plane_oracle import PIECES, Region
from tests.dm.region_writer import RegionWriter, Terms
from thinsim.units import Bytes

DEVICES = 64
THIN_BLOCKS = 64
BLOCKS = DEVICES * THIN_BLOCKS * 2
SECONDS = 8.0
CACHED = 192 << 20
"""Bytes of a file for the page cache: the kernel charges no cgroup for what it caches below a loop device."""
WARM = 10
"""Requests of each writer after which the process has most of the memory that it needs."""
# The process shares the little memory, so its buffers are small: 128 KiB at most.
SIZES = (1, 1, 2, 4, 16, 32)


async def run(directory: Path, seed: int, backend: str) -> None:
    """Make a pool in *directory*, write and verify."""
    (directory / "rig").mkdir()
    async with mapper_served_by(backend, directory / "rig", Bytes(BLOCKS * BLOCK)) as mapper:
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
            while any(writer.requests < WARM for writer in writers) and not terms.stop.is_set():
                await trio.sleep(0.05)
            (directory / "crowded").touch()
            nursery.start_soon(trio.to_thread.run_sync, fill_page_cache, directory, terms)
            try:
                await share_and_break(mapper, random.Random(seed), terms)
            finally:
                terms.stop.set()
        for writer in writers:
            await trio.to_thread.run_sync(writer.verify)
        assert_took_part(await mapper.dm.plane_traffic(POOL), backend)
        assert list(await mapper.check(POOL)) == []


def fill_page_cache(directory: Path, terms: Terms) -> None:
    """Read a file again and again until *terms* stop, once the memory is little."""
    buffer = bytearray(1 << 18)
    with (directory / "cached").open("w+b", buffering=0) as file:
        file.truncate(CACHED)
        while not terms.stop.wait(0.005):
            if (directory / "squeezed").exists() and not file.readinto(buffer):
                file.seek(0)


async def share_and_break(mapper: EmulatedMapper, chance: random.Random, terms: Terms) -> None:
    """Take and delete snapshots of the devices."""
    end = trio.current_time() + SECONDS
    while trio.current_time() < end and not terms.stop.is_set():
        origin = chance.randrange(DEVICES)
        await snap(mapper, "snap", 100, f"thin-{origin}", origin, THIN_BLOCKS)
        await trio.sleep(0.3)
        await mapper.dm.remove("snap", retry=True)
        await mapper.dm.message(POOL, 0, "delete 100")


if __name__ == "__main__":
    trio.run(run, Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

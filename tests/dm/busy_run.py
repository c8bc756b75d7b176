"""``python -m tests.dm.busy_run DIRECTORY SEED BACKEND`` sets up a busy pool of its own and prints ``busy``.

The logs of its writers are in DIRECTORY/logs. It runs until it is killed or loses its device-mapper.
"""

import math
import sys
from pathlib import Path

import trio

from tests.dm.busy_pool import BusyPool, BusyShape
from tests.dm.mappers_under_test import BLOCK
from tests.dm.plane_backends import mapper_served_by
from thinsim.units import Bytes

SHAPE = BusyShape(devices=8, thin_blocks=64, own=64 * 16, blocks=600, most=3072)


async def run(directory: Path, seed: int, backend: str) -> None:
    """Make a pool in *directory* that the plane serves with *backend*, and keep it busy."""
    (directory / "rig").mkdir()
    (directory / "logs").mkdir()
    async with mapper_served_by(backend, directory / "rig", Bytes(SHAPE.most * BLOCK)) as mapper:
        pool = BusyPool(mapper, SHAPE, seed, directory / "logs")
        await pool.create()
        async with pool.busy():
            print("busy", flush=True)
            await pool.change_until(math.inf, errors=True)


if __name__ == "__main__":
    trio.run(run, Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

"""`RIGS` has the rigs of the snapshotter's suites: the rigs of the registry for this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.rig.marks import marks_of
from thinsim.machine.journal import Journal
from thinsim.rig.contents import BARE
from thinsim.rig.interface import Rig
from thinsim.rig.registry import HERE, find_rig
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes

DATA_SIZE = Bytes(1 << 30)
METADATA_SIZE = Bytes(4 << 20)

RIGS = {record.name: marks_of(record) for record in HERE}
"""The marks of a test, by the name of its rig."""

MOUNTS = frozenset(record.name for record in HERE if record.mounts)
"""Rigs whose devices can be mounted."""


@asynccontextmanager
async def fresh_rig(name: str, directory: Path) -> AsyncIterator[Rig]:
    """Run the rig *name* with an empty pool in *directory*, which must exist."""
    record = find_rig(name)
    assert record.running is not None
    journal = Journal.create()
    # A name in /dev/mapper must be unique on the machine.
    pool = f"pool-{journal.path.stem}" if record.mounts else "pool"
    features = ("skip_block_zeroing",) if record.mounts else ()
    shape = PoolShape(pool, data_size=DATA_SIZE, metadata_size=METADATA_SIZE, features=features)
    async with record.running(directory, shape, journal, BARE) as rig:
        yield rig
    journal.close()


async def host_bytes(rig: Rig) -> int:
    """Commit and flush the pool, and return the bytes that the host has allocated for its data."""
    await rig.settle()
    return (await rig.host_allocation()).allocated

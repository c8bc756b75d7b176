"""The rigs that the snapshotter's suites run on: add one here and every suite runs on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from thinsim.machine.journal import Journal
from thinsim.rig import emulated as of_emulated
from thinsim.rig import kernel as of_kernel
from thinsim.rig import process as of_process
from thinsim.rig.contents import BARE
from thinsim.rig.interface import Rig
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes

DATA_SIZE = Bytes(1 << 30)
METADATA_SIZE = Bytes(4 << 20)


@asynccontextmanager
async def process(directory: Path) -> AsyncIterator[Rig]:
    """The engine in this process on sparse files; no root, no mounts."""
    shape = PoolShape("pool", data_size=DATA_SIZE, metadata_size=METADATA_SIZE, features=())
    async with of_process.running(directory, shape, contents=BARE) as rig:
        yield rig


@asynccontextmanager
async def emulated(directory: Path) -> AsyncIterator[Rig]:
    """The emulated device-mapper with real nodes and mounts."""
    journal = Journal.create()
    shape = PoolShape(f"pool-{journal.path.stem}", data_size=DATA_SIZE, metadata_size=METADATA_SIZE)
    async with of_emulated.running(directory, shape, journal, BARE) as rig:
        yield rig
    journal.close()


@asynccontextmanager
async def kernel(directory: Path) -> AsyncIterator[Rig]:
    """The kernel's own device-mapper."""
    journal = Journal.create()
    shape = PoolShape(f"pool-{journal.path.stem}", data_size=DATA_SIZE, metadata_size=METADATA_SIZE)
    async with of_kernel.running(directory, shape, journal, BARE) as rig:
        yield rig
    journal.close()


async def host_bytes(rig: Rig) -> int:
    """Commit the pool, flush it down, and return the bytes that the host has allocated for its data."""
    await rig.settle()
    return (await rig.host_allocation()).allocated


RIGS: dict[str, Callable[[Path], AbstractAsyncContextManager[Rig]]] = {
    "process": process,
    "emulated": emulated,
    "kernel": kernel,
}
NEEDS = {
    "process": (),
    "emulated": (pytest.mark.rig,),
    "kernel": (pytest.mark.rig, pytest.mark.kernel),
}
MOUNTS = frozenset({"emulated", "kernel"})
"""Rigs whose devices can be mounted."""

"""The rigs that the snapshotter's suites run on: add one here and every suite runs on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from thinsim.machine.journal import Journal
from thinsim.rig import bare_emulated, bare_kernel, bare_process
from thinsim.rig.bare import BareRig
from thinsim.rig.interface import PoolShape
from thinsim.units import Bytes

DATA_SIZE = Bytes(1 << 30)
METADATA_SIZE = Bytes(4 << 20)


@asynccontextmanager
async def process(directory: Path) -> AsyncIterator[BareRig]:
    """The engine in this process on sparse files; no root, no mounts."""
    shape = PoolShape("pool", data_size=DATA_SIZE, metadata_size=METADATA_SIZE, features=())
    async with bare_process.stand_up(directory, shape) as rig:
        yield rig


@asynccontextmanager
async def emulated(directory: Path) -> AsyncIterator[BareRig]:
    """The emulated device-mapper with real nodes and mounts."""
    journal = Journal.create()
    shape = PoolShape(f"pool-{journal.path.stem}", data_size=DATA_SIZE, metadata_size=METADATA_SIZE)
    async with bare_emulated.stand_up(directory, shape, journal) as rig:
        yield rig
    journal.close()


@asynccontextmanager
async def kernel(directory: Path) -> AsyncIterator[BareRig]:
    """The kernel's own device-mapper."""
    journal = Journal.create()
    shape = PoolShape(f"pool-{journal.path.stem}", data_size=DATA_SIZE, metadata_size=METADATA_SIZE)
    async with bare_kernel.stand_up(directory, shape, journal) as rig:
        yield rig
    journal.close()


RIGS: dict[str, Callable[[Path], AbstractAsyncContextManager[BareRig]]] = {
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

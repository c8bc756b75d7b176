"""`mapper_served_by` starts a device-mapper; its plane uses the file below the data device, or io_uring."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.dm.mappers_under_test import DATA_SIZE, EmulatedMapper, emulated_mapper
from thinsim.block import loop
from thinsim.dm.daemon.native_plane import FILE, RING, VARIABLE
from thinsim.dm.plane_traffic import PlaneTraffic
from thinsim.machine.journal import Journal, TakenKind
from thinsim.rig.backing import open_backing
from thinsim.rig.emulated_stack import EmulatedStack, open_stack, open_stack_on
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes

BACKENDS = (FILE, RING)
EACH_TIME = (FILE, pytest.param(RING, marks=pytest.mark.long))
"""The same, for a test whose second form takes long."""

PART_OFFSET = 4096
"""The first byte of the store's file that a data device without a file shows. It is inside a data block."""


@asynccontextmanager
async def open_stack_on_a_part(
    directory: Path, shape: PoolShape, journal: Journal
) -> AsyncIterator[EmulatedStack]:
    """Set up a stack whose data device begins within its file: the plane must use the device."""
    file = directory / "store" / "data"
    with_offset = replace(shape, data_size=Bytes(shape.data_size + PART_OFFSET))
    async with open_backing(directory, with_offset, journal) as whole:
        entry = journal.begin(TakenKind.LOOP, file=file)
        device = loop.attach(file, offset=PART_OFFSET)
        journal.amend(entry, **asdict(device))
        try:
            async with open_stack_on(replace(whole, data=device), directory, journal) as stack:
                yield stack
        finally:
            loop.detach(device)
            journal.end(entry)


_OPENERS = {FILE: open_stack, RING: open_stack_on_a_part}


def first_data_byte(backend: str) -> int:
    """Return where the pool's data begins in the store's file."""
    return PART_OFFSET if backend == RING else 0


def mapper_served_by(
    backend: str, directory: Path, data_size: Bytes = DATA_SIZE
) -> AbstractAsyncContextManager[EmulatedMapper]:
    """Start a device-mapper in *directory*; the plane serves its pools with *backend*, one of `BACKENDS`."""
    return emulated_mapper(directory, data_size, _OPENERS[backend])


def by_plane() -> bool:
    """Return whether the caller of the tests lets the plane serve anything."""
    return os.environ.get(VARIABLE) != "off"


def assert_took_part(served: PlaneTraffic, backend: str) -> None:
    """Check that the plane has served requests of each kind with *backend*, unless the caller refuses it."""
    if by_plane():
        assert served.backend.startswith(backend)  # the way of FUSE's requests may follow
        assert min(served.reads, served.writes, served.flushes) > 0

"""No byte of eight busy thin devices is wrong, whatever happens to their pool at the same time."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.dm.busy_pool import BusyPool, BusyShape
from tests.dm.mappers_under_test import BLOCK, POOL, EmulatedMapper
from tests.dm.metadata_soundness import assert_sound
from tests.dm.plane_backends import BACKENDS, assert_took_part, mapper_served_by
from tests.dm.plane_oracle import PIECE
from tests.dm.verifying_fio import FioPart, needs_fio, run_fio
from thinsim.dm.daemon.native_plane import FILE, RING
from thinsim.dm.plane_traffic import PlaneTraffic
from thinsim.machine.journal import all_journals
from thinsim.machine.recovery import recover
from thinsim.units import Bytes

pytestmark = [pytest.mark.rig, pytest.mark.usefixtures("fuse_transport")]

SEED = int(os.environ.get("THINSIM_ORACLE_SEED", "20"))
# The pool has so few blocks that snapshots and the filler exhaust them, and grows to more than all can need.
# The last part of each device is for fio. It begins inside a data block.
SHAPE = BusyShape(devices=8, thin_blocks=192, own=2043, blocks=1600, most=6144)
HUNG = 120.0
"""Seconds beyond its time after which a round counts as hung."""


@needs_fio
@pytest.mark.parametrize(
    ("backend", "rounds", "seconds"),
    [
        (FILE, 2, 11.0),
        pytest.param(RING, 2, 5.0, marks=pytest.mark.long),
        *(pytest.param(backend, 20, 30.0, marks=pytest.mark.long) for backend in BACKENDS),
    ],
)
async def test_no_byte_is_wrong_while_the_pool_is_changed_in_every_way(
    tmp_path: Path, backend: str, rounds: int, seconds: float
) -> None:
    print(f"THINSIM_ORACLE_SEED={SEED}")
    async with mapper_that_may_hang(tmp_path, backend) as mapper:
        pool = BusyPool(mapper, SHAPE, SEED)
        await pool.create()
        for number in range(rounds):
            async with ending(mapper, seconds + HUNG):
                served = await one_round(mapper, pool, number, seconds, tmp_path)
                assert_took_part(served, backend)
        assert pool.missing() == set()
        await pool.empty()
        await pool.verify()
        assert (await pool.status()).used_data == 0


async def one_round(
    mapper: EmulatedMapper, pool: BusyPool, number: int, seconds: float, directory: Path
) -> PlaneTraffic:
    """Change the busy pool, look at every byte, close the pool, and look again.

    Returns what the plane has served before the pool was closed.
    """
    # fio takes a failed write for the end, so writes fail only in the rounds without it.
    with_fio, before = number % 2 == 0, pool.terms.failed_writes
    async with pool.busy(), trio.open_nursery() as nursery:
        if with_fio:
            nursery.start_soon(fio_verifies, mapper, directory, seconds, SEED + number)
        await pool.change_until(trio.current_time() + seconds, errors=not with_fio)
    await pool.verify()
    served = await mapper.dm.plane_traffic(POOL)
    print(f"round {number}: {pool.counts}, {pool.terms.failed_writes} writes failed, {served}")
    assert with_fio or pool.terms.failed_writes > before
    await pool.delete_snapshots()
    await pool.reopen(lambda: assert_sound(Path(mapper.metadata_dev)))
    await pool.verify()
    return served


async def fio_verifies(mapper: EmulatedMapper, directory: Path, seconds: float, seed: int) -> None:
    begin, end = SHAPE.own * PIECE, SHAPE.thin_blocks * BLOCK
    devices = [mapper.dm.path(f"thin-{number}") for number in range(SHAPE.devices)]
    parts = [FioPart(device, begin, end - begin) for device in devices]
    written, verified = await run_fio(parts, directory, seconds, seed)
    assert min(written, verified) > 0


@asynccontextmanager
async def mapper_that_may_hang(directory: Path, backend: str) -> AsyncIterator[EmulatedMapper]:
    """Start a device-mapper whose daemon may be killed: nothing of it is left then."""
    try:
        async with mapper_served_by(backend, directory, Bytes(SHAPE.most * BLOCK)) as mapper:
            yield mapper
    except BaseException:
        for run in all_journals():
            await trio.to_thread.run_sync(recover, run, print)
        raise


@asynccontextmanager
async def ending(mapper: EmulatedMapper, seconds: float) -> AsyncIterator[None]:
    """Fail if the context takes longer than *seconds*: end the daemon, and so each request that hangs."""

    async def end() -> None:
        await trio.sleep(seconds)
        mapper.stack.dm_server.process.kill()
        raise AssertionError(f"hung: not finished in {seconds:.0f} s")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        yield
        nursery.cancel_scope.cancel()

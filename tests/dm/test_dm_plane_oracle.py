"""No byte of eight busy thin devices is wrong, whatever happens to their pool at the same time."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.dm.busy_pool import BusyPool
from tests.dm.mappers_under_test import BLOCK, POOL, EmulatedMapper, emulated_mapper
from tests.dm.plane_oracle import PIECE
from tests.dm.verifying_fio import FioPart, needs_fio, run_fio
from thinsim.units import Bytes

pytestmark = pytest.mark.rig

SEED = int(os.environ.get("THINSIM_ORACLE_SEED", "20"))
DEVICES = 8
THIN_BLOCKS = 192
OWN = 2043
"""Pieces of each device for the writers of the oracle; fio has the rest. They meet inside a data block."""
BLOCKS, MOST = 1600, 6144
"""Data blocks of the pool: so few that snapshots and the filler exhaust them, and more than all can need."""
HUNG = 60.0
"""Seconds beyond its time after which a round counts as hung."""


@needs_fio
@pytest.mark.parametrize(("rounds", "seconds"), [(2, 11.0), pytest.param(20, 30.0, marks=pytest.mark.long)])
async def test_no_byte_is_wrong_while_the_pool_is_changed_in_every_way(
    tmp_path: Path, rounds: int, seconds: float
) -> None:
    print(f"THINSIM_ORACLE_SEED={SEED}")
    limit = rounds * (seconds + HUNG)
    async with (
        emulated_mapper(tmp_path, Bytes(MOST * BLOCK)) as mapper,
        ending(mapper, limit),
    ):
        pool = BusyPool(
            mapper, SEED, devices=DEVICES, thin_blocks=THIN_BLOCKS, own=OWN, blocks=BLOCKS, most=MOST
        )
        await pool.create()
        parts = [
            FioPart(mapper.dm.path(thin.name), OWN * PIECE, THIN_BLOCKS * BLOCK - OWN * PIECE)
            for thin in pool.thins
        ]
        for number in range(rounds):
            # fio takes a failed write for the end, so writes fail only in the rounds without it.
            with_fio, before = number % 2 == 0, pool.terms.failed_writes
            async with pool.busy(), trio.open_nursery() as nursery:
                if with_fio:
                    nursery.start_soon(fio_verifies, parts, tmp_path, seconds, SEED + number)
                await pool.change_until(trio.current_time() + seconds, errors=not with_fio)
            await pool.verify()
            served = await mapper.dm.plane_traffic(POOL)
            print(f"round {number}: {pool.counts}, {pool.terms.failed_writes} writes failed, {served}")
            assert min(served.reads, served.writes, served.flushes) > 0
            assert with_fio or pool.terms.failed_writes > before
            await pool.delete_snapshots()
            await pool.reopen(lambda: assert_sound(mapper))
            await pool.verify()
        assert pool.missing() == set()
        await pool.empty()
        await pool.verify()
        assert (await pool.status()).used_data == 0


async def fio_verifies(parts: list[FioPart], directory: Path, seconds: float, seed: int) -> None:
    written, verified = await run_fio(parts, directory, seconds, seed)
    assert min(written, verified) > 0


def assert_sound(mapper: EmulatedMapper) -> None:
    """Run the kernel's own checker, if it is here, on the metadata of a pool that is not open."""
    if shutil.which("thin_check"):
        done = subprocess.run(
            ["thin_check", mapper.metadata_dev], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


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

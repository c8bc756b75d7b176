"""The plane serves mapped blocks without Python: the same bytes and counts, whatever changes meanwhile."""

import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.dm.mappers_under_test import (
    BLOCK,
    POOL,
    EmulatedMapper,
    make_pool,
    make_thin,
    snap,
)
from tests.dm.plane_backends import BACKENDS, mapper_served_by
from tests.repository import REPOSITORY
from thinsim.dm.daemon.native_plane import FILE
from thinsim.dm.plane_traffic import PlaneTraffic

pytestmark = pytest.mark.rig

DEVICES = ("thin-a", "thin-b")
WORKERS = 3
OWN_BLOCKS = 6
"""Blocks of a device that belong to one worker."""
CHANGES = 12


BY_PYTHON = PlaneTraffic().backend


@pytest.fixture(params=[*BACKENDS, BY_PYTHON])
async def served(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fuse_transport: str
) -> AsyncIterator[EmulatedMapper]:
    """Return a device-mapper with each backend of the plane, and one without a plane."""
    without = request.param == BY_PYTHON
    monkeypatch.setenv("THINSIM_PLANE", "off" if without else "on")
    async with mapper_served_by(FILE if without else request.param, tmp_path) as mapper:
        yield mapper


@pytest.fixture
def expected(request: pytest.FixtureRequest) -> str:
    """Return the backend that the fixture `served` has asked for."""
    backend: str = request.node.callspec.params["served"]
    return backend


async def traffic(mapper: EmulatedMapper) -> PlaneTraffic:
    return await mapper.dm.plane_traffic(POOL)


async def test_mapped_blocks_are_served_without_python_and_all_others_with_it(
    served: EmulatedMapper, expected: str
) -> None:
    await make_pool(served)
    await make_thin(served, "thin", 0)
    assert (await traffic(served)).backend.startswith(expected)
    plane_is_on = expected != BY_PYTHON
    await served.write("thin", 0, b"a" * 4 * BLOCK)
    await served.read("thin", 0, BLOCK)  # Python looks the neighbours up, and the plane learns them
    before = await traffic(served)
    for block in range(4):
        await served.write("thin", block * BLOCK + 4096, b"b" * 4096)
        assert await served.read("thin", block * BLOCK, 8192) == b"a" * 4096 + b"b" * 4096
    assert await served.read("thin", 8 * BLOCK, 4096) == bytes(4096)
    after = await traffic(served)
    assert (after.writes - before.writes, after.reads > before.reads) == (
        (4, True) if plane_is_on else (0, False)
    )
    assert after.written_bytes - before.written_bytes == (4 * 4096 if plane_is_on else 0)
    # The data device's own counters have what is written to it.
    assert after.unseen_bytes - before.unseen_bytes == (4 * 4096 if expected == FILE else 0)
    await served.flush("thin")  # it commits
    await served.flush("thin")
    assert ((await traffic(served)).flushes > after.flushes) == plane_is_on

    await snap(served, "copy", 1, "thin", 0)
    before = await traffic(served)
    await served.write("thin", 0, b"c" * 4096)  # shared now: Python breaks the sharing
    assert (await traffic(served)).writes == before.writes
    assert await served.read("thin", 0, 4096) == b"c" * 4096
    assert await served.read("copy", 0, 4096) == b"a" * 4096
    await served.discard("copy", 0, BLOCK)
    assert await served.read("copy", 0, 4096) == bytes(4096)
    assert await served.read("thin", 0, 4096) == b"c" * 4096
    assert (
        await served.dm.status("thin")
        == f"0 {32 * BLOCK // 512} thin {4 * BLOCK // 512} {4 * BLOCK // 512 - 1}"
    )
    assert list(await served.check(POOL)) == []


class Worker:
    """A `Worker` writes, reads and discards its own blocks of a device, and knows what they hold."""

    def __init__(self, mapper: EmulatedMapper, device: str, number: int) -> None:
        self._mapper = mapper
        self._device = device
        self._first = number * OWN_BLOCKS * BLOCK
        self._chance = random.Random(f"{device} {number}")
        self._content = bytearray(OWN_BLOCKS * BLOCK)

    async def work(self, done: trio.Event) -> None:
        while not done.is_set():
            offset = self._chance.randrange(OWN_BLOCKS * BLOCK // 4096) * 4096
            length = min(self._chance.choice((4096, 4096, 16384, 2 * BLOCK)), len(self._content) - offset)
            act = self._chance.random()
            if act < 0.45:
                data = self._chance.randbytes(length)
                self._content[offset : offset + length] = data
                await self._mapper.write(self._device, self._first + offset, data)
            elif act < 0.95:
                await self._verify(offset, length)
            else:
                offset -= offset % BLOCK
                self._content[offset : offset + BLOCK] = bytes(BLOCK)
                await self._mapper.discard(self._device, self._first + offset, BLOCK)

    async def verify(self) -> None:
        await self._verify(0, len(self._content))

    async def _verify(self, offset: int, length: int) -> None:
        found = await self._mapper.read(self._device, self._first + offset, length)
        assert found == bytes(self._content[offset : offset + length]), (self._device, self._first + offset)


async def test_every_byte_is_right_while_blocks_are_shared_broken_discarded_and_suspended(
    served: EmulatedMapper,
) -> None:
    await make_pool(served)
    for number, device in enumerate(DEVICES):
        await make_thin(served, device, number)
    workers = [Worker(served, device, number) for device in DEVICES for number in range(WORKERS)]
    done = trio.Event()
    async with trio.open_nursery() as nursery:
        for worker in workers:
            nursery.start_soon(worker.work, done)
        for change in range(CHANGES):
            origin = change % len(DEVICES)
            await snap(served, "snap", 10, DEVICES[origin], origin)
            await trio.sleep(0.1)
            await served.dm.remove("snap", retry=True)
            await served.dm.message(POOL, 0, "delete 10")
            if change % 3 == 0:
                await served.dm.suspend(POOL)
                await served.dm.resume(POOL)
        done.set()
    for worker in workers:
        await worker.verify()
    assert list(await served.check(POOL)) == []


@pytest.mark.long
def test_without_io_uring_the_threads_read_and_write_the_data_device_themselves(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.dm.without_io_uring", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=REPOSITORY,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "plain reads and writes on the data device: 4 writes\n"
    assert "no io_uring for /dev/loop" in (tmp_path / "dm.log").read_text()

"""A run's pool is watched on real servers and loop devices: it is found, leaks bytes, and ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from thinsim.block.linux import LinuxBlockDevice
from thinsim.errors import ConflictError
from thinsim.machine.journal import Journal
from thinsim.rig.emulated_stack import EmulatedStack, open_stack
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes
from thinsim.watch.finding import find_pool
from thinsim.watch.watching import watching

pytestmark = pytest.mark.rig

BLOCK = 64 << 10
SHAPE = PoolShape(f"watched-{os.getpid()}", data_size=Bytes(64 << 20), metadata_size=Bytes(4 << 20))


async def fill(stack: EmulatedStack, thin: str, blocks: int) -> None:
    """Write whole data blocks."""
    device = LinuxBlockDevice(stack.dm.path(thin))
    try:
        await trio.to_thread.run_sync(device.write, 0, os.urandom(blocks * BLOCK))
        await trio.to_thread.run_sync(device.flush)
    finally:
        device.close()


async def test_a_watched_pool_shows_use_leak_devices_and_discards(tmp_path: Path, journal: Journal) -> None:
    thin = f"{SHAPE.name}-thin"
    async with open_stack(tmp_path, SHAPE, journal) as stack:
        await stack.dm.create(SHAPE.name, stack.pool_table(SHAPE))
        await stack.dm.message(SHAPE.name, 0, "create_thin 7")
        await stack.dm.create(thin, f"0 {(32 << 20) // 512} thin {stack.dm.path(SHAPE.name)} 7")
        async with watching(await find_pool(SHAPE.name)) as watch:
            await fill(stack, thin, 10)
            now = await watch.look()
            assert (now.used, now.host, now.leaked, now.given_back) == (10 * BLOCK, 10 * BLOCK, 0, 0)
            (device,) = now.devices
            assert (device.name, device.thin_id, device.mapped) == (thin, 7, 10 * BLOCK)
            subprocess.run(["blkdiscard", "--length", str(4 * BLOCK), stack.dm.path(thin)], check=True)
            now = await watch.look()
            assert (now.used, now.host, now.leaked, now.given_back) == (6 * BLOCK, 6 * BLOCK, 0, 4 * BLOCK)
            with trio.fail_after(60):
                while not watch.events:
                    await trio.sleep(0.01)
            assert sum(event.freed for event in watch.events) == 4 * BLOCK
            await stack.dm.remove(thin)
            await stack.dm.message(SHAPE.name, 0, "delete 7")
            now = await watch.look()
            assert (now.used, now.host, now.leaked) == (0, 6 * BLOCK, 6 * BLOCK)
            assert (now.leaked_at_least, list(now.devices)) == (6 * BLOCK, [])
            seen = await trio.to_thread.run_sync(command, "--json", "--count", "1")
            document = json.loads(seen.stdout)
            plane = (await stack.dm.plane_traffic(SHAPE.name)).backend
            assert (document["leaked"], document["data_plane"]) == (6 * BLOCK, plane)
            shown = await trio.to_thread.run_sync(command, "--count", "1")
            assert ["leaked", "384", "KiB"] in [line.split() for line in shown.stdout.splitlines()]
            assert f"data plane: {plane}" in shown.stdout.splitlines()
            ended = await trio.to_thread.run_sync(interrupted)
            assert (ended.returncode, ended.stderr) == (0, "")
        assert await stack.dm.check(SHAPE.name) == []
        await stack.dm.remove(SHAPE.name)
        with pytest.raises(ConflictError, match=f"pool {SHAPE.name!r} is not running"):
            await find_pool(SHAPE.name)
    gone = await trio.to_thread.run_sync(command, "--count", "1")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert f"pool {SHAPE.name!r} is not running" in gone.stderr


def interrupted() -> subprocess.CompletedProcess[str]:
    """Run the command, wait for its first line, then send Ctrl-C."""
    words = [sys.executable, "-m", "thinsim", "watch", SHAPE.name]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    return subprocess.CompletedProcess(words, process.returncode, out, errors)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "thinsim", "watch", SHAPE.name, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

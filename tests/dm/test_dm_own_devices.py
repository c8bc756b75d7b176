"""A killed daemon ends although a thread of it waits for the daemon itself."""

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest
import trio

from tests.dm.drop_in_machine import DropInMachine
from thinsim.dm.daemon.own_devices import on_own_device

BLOCK = 65536
PATIENCE = 30.0


async def test_the_thread_has_none_of_the_descriptors_of_the_process(tmp_path: Path) -> None:
    with (tmp_path / "file").open("xb") as file:
        number = file.fileno()

        def write_to_it() -> None:
            os.write(number, b"text")

        def can_open() -> bytes:
            return Path("/proc/self/comm").read_bytes()

        with pytest.raises(OSError, match="Bad file descriptor"):
            await on_own_device(write_to_it)
        assert await on_own_device(can_open) == Path("/proc/self/comm").read_bytes()
        write_to_it()
    assert (tmp_path / "file").read_bytes() == b"text"


@pytest.mark.rig
@pytest.mark.skipif(
    shutil.which("dmsetup") is None, reason="dmsetup is not installed (apt-get install dmsetup)"
)
async def test_a_daemon_ends_that_is_killed_while_its_own_thread_waits_for_it(machine: DropInMachine) -> None:
    pool, thin = machine.pool, f"{machine.prefix}-thin"
    machine.dmsetup("create", pool, "--table", f"0 256 thin-pool {machine.metadata} {machine.data} 128 0")
    machine.dmsetup("message", pool, "0", "create_thin 1")
    machine.dmsetup("create", thin, "--table", f"0 4096 thin /dev/mapper/{pool} 1")
    [daemon] = machine.daemons()
    node = os.open(f"/dev/mapper/{thin}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(node, b"c" * BLOCK * 8, 0)  # the pool has two blocks, so the writeback waits for space
        suspend = subprocess.Popen(
            ["dmsetup", "suspend", thin], env=machine.environment, stderr=subprocess.DEVNULL
        )
        with trio.fail_after(PATIENCE):
            while not any(has_thread_in_the_kernel(daemon)):
                await trio.sleep(0.05)
        daemon.kill()
        await trio.to_thread.run_sync(daemon.wait, PATIENCE)
        assert await trio.to_thread.run_sync(suspend.wait, PATIENCE) == 1
    finally:
        os.close(node)
    machine.dmsetup("ls")  # a new daemon begins, and has the devices


def has_thread_in_the_kernel(process: psutil.Process) -> list[bool]:
    """Return for each thread whether it waits in the kernel, where no signal reaches it."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/stat")
    return [task.read_text().rpartition(")")[2].split()[0] == "D" for task in tasks]

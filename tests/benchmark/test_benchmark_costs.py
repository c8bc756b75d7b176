"""The costs of processes are their processor time, memory and bytes, with servers by role."""

import subprocess
import sys
import time

import trio

from thinsim.benchmark.costs import STORE, THINSIM, counted

_SPIN = "import time\nend = time.process_time() + {0}\nwhile time.process_time() < end: pass"
_HOLD = "held = bytearray(64 << 20)\nimport time\nopen('/dev/null', 'wb').write(held)\ntime.sleep(30)"


async def test_processor_time_of_children_too_short_to_be_seen_is_in_the_sum() -> None:
    async with counted() as costs:
        for _ in range(4):
            await trio.run_process([sys.executable, "-c", _SPIN.format(0.05)])
    assert costs.cpu >= 0.2


async def test_what_this_process_spent_before_does_not_count() -> None:
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    async with counted() as costs:
        await trio.sleep(0)
    assert costs.cpu < 0.3


async def test_a_server_has_its_peak_memory_and_its_bytes_under_its_role() -> None:
    # The command line decides on the role, so this process counts as a store.
    server = subprocess.Popen([sys.executable, "-c", _HOLD, "fuse_backing"])
    try:
        async with counted() as costs:
            with trio.fail_after(60):
                while (await _io(server.pid)) < 64 << 20:
                    await trio.sleep(0.05)
                await trio.sleep(0.3)
    finally:
        server.kill()
        server.wait()
    assert costs.by_role[STORE].memory >= 64 << 20
    assert costs.by_role[STORE].written >= 64 << 20
    assert THINSIM in costs.by_role


async def test_bytes_of_a_server_that_has_ended_are_its_own_and_not_counted_twice() -> None:
    async with counted() as costs:
        server = await trio.lowlevel.open_process([sys.executable, "-c", _HOLD, "fuse_backing"])
        with trio.fail_after(60):
            while (await _io(server.pid)) < 64 << 20:
                await trio.sleep(0.05)
            await trio.sleep(0.3)
        server.kill()
        await server.wait()
        await trio.sleep(0.3)  # long enough for another sample
    assert costs.by_role[STORE].written >= 64 << 20
    assert costs.by_role[THINSIM].written < 32 << 20


async def test_bytes_of_a_tool_count_for_this_process_however_short_it_ran() -> None:
    async with counted() as costs:
        await trio.run_process([sys.executable, "-c", "open('/dev/null', 'wb').write(bytes(8 << 20))"])
    assert costs.by_role[THINSIM].written >= 8 << 20


async def _io(pid: int) -> int:
    text = await trio.Path(f"/proc/{pid}/io").read_text()
    return int(dict(line.split(": ") for line in text.splitlines())["wchar"])

"""After kill -9 under full load, ``doctor --clean`` leaves nothing, and nothing flushed is lost."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
import trio

from tests.dm.busy_run import SHAPE
from tests.dm.flush_log import Survivors
from tests.dm.mappers_under_test import BLOCK, POOL, thin_table
from tests.dm.metadata_soundness import assert_sound
from tests.dm.plane_backends import EACH_TIME, first_data_byte
from tests.dm.plane_oracle import PIECE, found_marks
from tests.machine.interrupted_run import PATIENCE, InterruptedRun
from thinsim.block import loop
from thinsim.block.interface import BlockDevice
from thinsim.block.linux import LinuxBlockDevice
from thinsim.block.sparse import SparseBlockDevice
from thinsim.dm.daemon.native_plane import FILE
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import on_thread

SEED = int(os.environ.get("THINSIM_ORACLE_SEED", "20"))
FLUSHES = 8
"""Flushes of each writer before the kill."""
# As in the kernel, a commit during a write or a discard has references to blocks that have no mapping then.
_LEAK = re.compile(r"data block \d+: 1 references, but 0 uses: leaked")

# doctor looks at the whole machine.
pytestmark = [pytest.mark.rig, pytest.mark.alone, pytest.mark.usefixtures("fuse_transport")]


class KilledRun(InterruptedRun):
    """A `KilledRun` runs ``tests.dm.busy_run``, which has no image."""

    backend = FILE

    @property
    def command(self) -> list[str]:
        program = [sys.executable, "-m", "tests.dm.busy_run"]
        return [*program, str(self.directory), str(SEED), self.backend]

    @property
    def host(self) -> Path:
        """Return the directory with the files below the pool."""
        return self.directory / "rig" / "host"

    def survivors(self) -> list[Survivors]:
        """Read the logs of all writers."""
        return [Survivors(log) for log in sorted((self.directory / "logs").glob("*"))]

    async def until_flushed(self, times: int) -> None:
        """Return when each writer has flushed so often."""
        with trio.fail_after(PATIENCE):
            while not self.survivors() or min(each.flushes for each in self.survivors()) < times:
                assert self.process.poll() is None, self.said()
                await trio.sleep(0.1)


@pytest.mark.parametrize("backend", EACH_TIME)
@pytest.mark.parametrize(
    "victims", [("daemon",), ("daemon", "run"), ("daemon", "run", "store")], ids="+".join
)
async def test_nothing_is_left_and_nothing_that_was_flushed_is_lost(
    tmp_path: Path, victims: tuple[str, ...], backend: str
) -> None:
    print(f"THINSIM_ORACLE_SEED={SEED}")
    run = KilledRun(tmp_path, image=tmp_path)
    run.backend = backend
    run.start()
    try:
        await run.until_flushed(FLUSHES)
        for victim in victims:
            if victim == "run":
                assert run.hit("kill")
            else:
                run.signal_server(victim, signal.SIGKILL)
        if "run" not in victims:
            assert run.end() == 1, run.said()
    finally:
        run.hit("kill")
        # A killed run is awaited after doctor: a thread of the daemon, and so one of the run, may be in the
        # kernel until somebody aborts the daemon's mount.
        done = run.doctor()
    assert done.returncode == 0, done.stdout
    assert run.end() == (-signal.SIGKILL if "run" in victims else 1), run.said()
    assert run.left() == []
    assert_sound(run.host / "metadata", leaks=True)
    data = loop.attach(run.host / "data", offset=first_data_byte(backend))
    try:
        await assert_holds(run.host / "metadata", data.path, run.survivors())
    finally:
        loop.detach(data)


async def assert_holds(metadata: Path, data: Path, survivors: list[Survivors]) -> None:
    """Open the pool on its file and device, and check every piece of its devices, and the metadata."""
    assert sum(each.certain for each in survivors) > 0

    def open_block(path: str) -> BlockDevice:
        return LinuxBlockDevice(data) if path == str(data) else SparseBlockDevice(Path(path))

    sectors = SHAPE.most * BLOCK // 512
    async with LocalDeviceMapper(NoNodes(), open_block, on_thread).running() as dm:
        await dm.create(POOL, f"0 {sectors} thin-pool {metadata} {data} {BLOCK // 512} 0 0")
        for number in range(SHAPE.devices):
            await dm.create(f"thin-{number}", thin_table(number, SHAPE.thin_blocks))
        for each in survivors:
            volume = dm.volume(f"thin-{each.device}")
            data = await volume.read(each.first * PIECE, each.count * PIECE)
            each.assert_survived(found_marks(data, each.first))
        problems = list(await dm.pool(POOL).check())
        assert [problem for problem in problems if not _LEAK.fullmatch(problem)] == []

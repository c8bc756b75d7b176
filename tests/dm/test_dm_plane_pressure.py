"""Sixty-four thin devices with little memory make progress, and keep the right bytes."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from tests.dm.memory_cgroup import MemoryCgroup, NoMemoryCgroupError, memory_cgroup
from tests.dm.plane_backends import EACH_TIME
from tests.machine.interrupted_run import InterruptedRun
from thinsim.dm.daemon.native_plane import FILE

# doctor, which ends a run that hangs, looks at the whole machine.
pytestmark = [pytest.mark.rig, pytest.mark.alone]

SEED = int(os.environ.get("THINSIM_ORACLE_SEED", "20"))
SPARE = 64 << 20
"""Bytes for the page cache, which takes more, and for what the processes need later."""
DEADLOCK = 120.0
"""Seconds after which the run counts as deadlocked; on an idle machine it ends after twelve."""


class CrowdedRun(InterruptedRun):
    """A `CrowdedRun` runs ``tests.dm.crowded_run`` with the words of *enter* before it."""

    enter: tuple[str, ...] = ()
    backend = FILE

    @property
    def command(self) -> list[str]:
        program = [sys.executable, "-m", "tests.dm.crowded_run"]
        return [*self.enter, *program, str(self.directory), str(SEED), self.backend]


@pytest.fixture
def cgroup() -> Iterator[MemoryCgroup]:
    """Make a cgroup; the reason of a skip names what the machine lacks."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(memory_cgroup("thinsim-test"))
        except NoMemoryCgroupError as error:
            pytest.skip(str(error))
        yield made


@pytest.mark.parametrize("backend", EACH_TIME)
async def test_sixty_four_devices_with_little_memory_do_not_deadlock(
    tmp_path: Path, cgroup: MemoryCgroup, backend: str
) -> None:
    print(f"THINSIM_ORACLE_SEED={SEED}")
    run = CrowdedRun(tmp_path, image=tmp_path)
    run.backend = backend
    run.enter = tuple(cgroup.entering([]))
    run.start()
    try:
        with trio.move_on_after(DEADLOCK):
            while run.process.poll() is None and not (tmp_path / "crowded").exists():
                await trio.sleep(0.05)
            cgroup.squeeze(SPARE)
            (tmp_path / "squeezed").touch()
            while run.process.poll() is None:
                await trio.sleep(0.1)
        said = f"status {run.process.poll()}, None after a deadlock: {run.said()}"
        assert run.process.poll() == 0, said
        assert cgroup.was_full(), "there was memory enough"
    finally:
        run.hit("kill")
        run.doctor()
    assert run.left() == []

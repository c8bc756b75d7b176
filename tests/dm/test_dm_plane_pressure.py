"""Sixty-four thin devices with little memory make progress, and keep the right bytes."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from fuse_backing.system_calls import TMPFS_MAGIC, file_system_magic
from tests.dm.memory_cgroup import MemoryCgroup, NoMemoryCgroupError, memory_cgroup
from tests.dm.plane_backends import BACKENDS
from tests.host_file_systems import host_file_system
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


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a directory whose files are not memory of their writer, as they are on tmpfs."""
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        in_memory = file_system_magic(directory) == TMPFS_MAGIC
    finally:
        os.close(directory)
    if not in_memory:
        yield tmp_path
        return
    with host_file_system("ext4", tmp_path, allocated=True) as host:
        yield host.directory


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
async def test_sixty_four_devices_with_little_memory_do_not_deadlock(
    on_disk: Path, cgroup: MemoryCgroup, backend: str
) -> None:
    print(f"THINSIM_ORACLE_SEED={SEED}")
    run = CrowdedRun(on_disk, image=on_disk)
    run.backend = backend
    run.enter = tuple(cgroup.entering([]))
    run.start()
    try:
        with trio.move_on_after(DEADLOCK):
            while run.process.poll() is None and not (on_disk / "crowded").exists():
                await trio.sleep(0.05)
            cgroup.squeeze(SPARE)
            (on_disk / "squeezed").touch()
            while run.process.poll() is None:
                await trio.sleep(0.1)
        said = f"status {run.process.poll()}, None after a deadlock: {run.said()}"
        assert run.process.poll() == 0, said
        assert cgroup.was_full(), "there was memory enough"
    finally:
        run.hit("kill")
        run.doctor()
    assert run.left() == []

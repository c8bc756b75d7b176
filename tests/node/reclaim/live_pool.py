"""A `LivePool` is a pool that thinsim did not make: two loop devices on plain files, and thin devices."""

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from fuse_backing.allocation import allocated_bytes
from tests.dm.drop_in_machine import SECTORS, DropInMachine, machine_of_its_own
from tests.dm.metadata_soundness import assert_sound
from thinsim.block import loop
from thinsim.dm.standing.places import Places

BLOCK = 65536
THIN_BLOCKS = 1024
_AT_ONCE = 16
PATIENCE = 600.0
KERNEL, EMULATED = "kernel", "emulated"
EACH_KIND = (
    pytest.param(EMULATED, marks=pytest.mark.rig),
    pytest.param(KERNEL, marks=pytest.mark.kernel),
)


@dataclass
class LivePool:
    """A `LivePool` knows each block of its thin devices, by number of the device and of the block."""

    machine: DropInMachine
    directory: Path
    blocks: dict[int, dict[int, int]] = field(default_factory=dict)
    """The seed of the content of each mapped block."""
    random: Random = field(default_factory=lambda: Random(22))

    @property
    def name(self) -> str:
        return self.machine.pool

    @property
    def data(self) -> Path:
        """Return the file below the data device."""
        return self.directory / "data"

    @property
    def metadata(self) -> Path:
        """Return the file below the metadata device."""
        return self.directory / "metadata"

    def thin(self, number: int) -> Path:
        return Path("/dev/mapper", f"{self.machine.prefix}-{number}")

    def create(self, number: int) -> None:
        """Create thin device *number*, which is empty."""
        self.machine.make_thin(str(number), number, THIN_BLOCKS * BLOCK // 512)
        self.blocks[number] = {}

    def snapshot(self, number: int, origin: int) -> None:
        """Make *number* a snapshot of *origin*, which is active."""
        self.machine.dmsetup("suspend", self.thin(origin).name)
        self.machine.dmsetup("message", self.name, "0", f"create_snap {number} {origin}")
        self.machine.dmsetup("resume", self.thin(origin).name)
        table = f"0 {THIN_BLOCKS * BLOCK // 512} thin /dev/mapper/{self.name} {number}"
        self.machine.dmsetup("create", self.thin(number).name, "--table", table)
        self.blocks[number] = dict(self.blocks[origin])

    def delete(self, number: int) -> None:
        """Deactivate and delete a thin device; its blocks become free, and are not discarded."""
        self.machine.dmsetup("remove", "--retry", self.thin(number).name)
        self.machine.dmsetup("message", self.name, "0", f"delete {number}")
        del self.blocks[number]

    def write(self, number: int, *blocks: int) -> None:
        """Write new content to *blocks*."""
        fd = os.open(self.thin(number), os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            with mmap.mmap(-1, BLOCK) as buffer:  # O_DIRECT needs aligned memory
                for block in blocks:
                    seed = self.random.randrange(1 << 30)
                    buffer[:] = content(seed)
                    assert os.pwritev(fd, [buffer], block * BLOCK) == BLOCK
                    self.blocks[number][block] = seed
        finally:
            os.close(fd)

    def discard(self, number: int, block: int, count: int) -> None:
        """Discard blocks of a thin device."""
        words = ["blkdiscard", "-o", str(block * BLOCK), "-l", str(count * BLOCK), str(self.thin(number))]
        subprocess.run(words, check=True)
        for each in range(block, block + count):
            self.blocks[number].pop(each, None)

    def scatter(self, *numbers: int, runs: int, length: int = 1) -> None:
        """Write *runs* of *length* blocks to each device in turn, so that their data blocks alternate."""
        for _ in range(runs):
            for number in numbers:
                first = max(self.blocks[number], default=-1) + 1
                self.write(number, *range(first, first + length))

    def lose(self, runs: int) -> None:
        """Write *runs* blocks to devices 1 and 2 in turn, and delete device 1, whose blocks are lost."""
        for number in (1, 2):
            self.create(number)
        self.scatter(1, 2, runs=runs)
        self.delete(1)

    def verify(self) -> None:
        """Compare every block of every device, past the page cache."""
        for number, expected in self.blocks.items():
            fd = os.open(self.thin(number), os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
            try:
                with mmap.mmap(-1, _AT_ONCE * BLOCK) as buffer:
                    for first in range(0, THIN_BLOCKS, _AT_ONCE):
                        assert os.preadv(fd, [buffer], first * BLOCK) == len(buffer)
                        for block in range(first, first + _AT_ONCE):
                            seed, begin = expected.get(block), (block - first) * BLOCK
                            wanted = bytes(BLOCK) if seed is None else content(seed)
                            assert buffer[begin : begin + BLOCK] == wanted, f"device {number}, block {block}"
            finally:
                os.close(fd)

    def is_suspended(self) -> bool:
        return "SUSPENDED" in self.machine.dmsetup("info", self.name)

    def used_blocks(self) -> int:
        status = self.machine.dmsetup("status", "--noflush", self.name)
        return int(status.split()[5].partition("/")[0])

    def held(self) -> int:
        """Return the bytes that the host holds for the data, all written back."""
        fd = os.open(self.data, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            return allocated_bytes(fd, 0, self.data.stat().st_size)
        finally:
            os.close(fd)

    def assert_sound(self) -> None:
        """Deactivate everything, and check the metadata."""
        for number in self.blocks:
            self.machine.dmsetup("remove", "--retry", self.thin(number).name)
        self.machine.dmsetup("remove", "--retry", self.name)
        assert_sound(Path(self.machine.metadata))

    def reclaim(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run ``thinsim reclaim`` on the pool to its end."""
        return self.machine.run(*self.command(*words))

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "thinsim", "reclaim", self.name, *words]

    def started(self, *words: str) -> "subprocess.Popen[str]":
        """Start ``thinsim reclaim`` on the pool."""
        return subprocess.Popen(
            self.command(*words),
            env=self.machine.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def content(seed: int) -> bytes:
    """Return the content of a block."""
    return seed.to_bytes(8, "little") * (BLOCK // 8)


@contextmanager
def live_pool(kind: str, directory: Path, patch: pytest.MonkeyPatch) -> Iterator[LivePool]:
    """Yield a pool without thin devices, of the kernel or of an emulated device-mapper of its own."""
    if kind == EMULATED:
        with machine_of_its_own(directory, patch) as machine:
            machine.make_pool()
            yield LivePool(machine, directory)
        return
    with _kernel_machine(directory) as machine:
        machine.make_pool()
        try:
            yield LivePool(machine, directory)
        finally:
            for node in sorted(Path("/dev/mapper").glob(f"{machine.prefix}-*")):
                if node.name != machine.pool:
                    machine.run("dmsetup", "remove", "--retry", node.name)
            machine.run("dmsetup", "remove", "--retry", machine.pool)


@contextmanager
def _kernel_machine(directory: Path) -> Iterator[DropInMachine]:
    attached = []
    try:
        for name, size in (("data", SECTORS * 512), ("metadata", 4 << 20)):
            with (directory / name).open("xb") as file:
                file.truncate(size)
            attached.append(loop.attach(directory / name))
        data, metadata = (str(each.path) for each in attached)
        prefix = f"reclaim{os.getpid()}"
        yield DropInMachine(Places.of_this_user(), dict(os.environ), data, metadata, f"{prefix}-pool", prefix)
    finally:
        for each in attached:
            loop.detach(each, deferred=True)


def killed_process_group(process: "subprocess.Popen[str]") -> None:
    """Kill a reclaim that does not end, with its children in the same session."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def soon(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Return whether *condition* comes true within *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

"""A `DropInMachine` is a test's own drop-in dmsetup, with a daemon, directories and two loop devices."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from fuse_backing.mounts import mounts
from tests.runtime_place import runtime_place
from thinsim.block import loop
from thinsim.dm.dropin.dropin import install
from thinsim.dm.standing.places import Places

BLOCKS = 4096
SECTORS = BLOCKS * 128


@dataclass
class DropInMachine:
    """A `DropInMachine` is a drop-in for one test, with two loop devices for a pool."""

    places: Places
    environment: dict[str, str]
    data: str
    metadata: str
    pool: str
    prefix: str

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=self.environment, capture_output=True, text=True, input=stdin, check=False, timeout=600
        )

    def dmsetup(self, *words: str, stdin: str = "") -> str:
        done = self.run("dmsetup", *words, stdin=stdin)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *words: str) -> str:
        done = self.run("dmsetup", *words)
        assert done.returncode == 1, f"{words}: {done.stdout}{done.stderr}"
        return done.stderr

    def make_pool(self) -> None:
        """Create the pool, without a thin device."""
        table = f"0 {SECTORS} thin-pool {self.metadata} {self.data} 128 0 1 skip_block_zeroing"
        self.dmsetup("create", self.pool, "--table", table)

    def make_thin(self, suffix: str, thin_id: int, sectors: int, message: str = "") -> Path:
        """Create thin *thin_id*, by *message* if given, and activate it; return its path."""
        self.dmsetup("message", self.pool, "0", message or f"create_thin {thin_id}")
        name = f"{self.prefix}-{suffix}"
        self.dmsetup("create", name, "--table", f"0 {sectors} thin /dev/mapper/{self.pool} {thin_id}")
        return Path("/dev/mapper", name)

    def daemons(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "thinsim.dm.daemon" in words and str(self.places.control_device) in words:
                found.append(process)
        return found


@contextmanager
def machine_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DropInMachine]:
    """Yield a DropInMachine; check afterwards that nothing of it is left."""
    with runtime_place(tmp_path) as runtime:
        yield from _made(tmp_path, runtime, monkeypatch)


def _made(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DropInMachine]:
    monkeypatch.setenv("THINSIM_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path / "state"))
    attached = []
    for name, size in (("data", SECTORS * 512), ("metadata", 4 << 20)):
        with (tmp_path / name).open("xb") as file:
            file.truncate(size)
        attached.append(loop.attach(tmp_path / name))
    places = Places.of_this_user()
    prefix = runtime.name
    environment = {**os.environ, **install(places)}
    data, metadata = (str(each.path) for each in attached)
    made = DropInMachine(places, environment, data, metadata, f"{prefix}-pool", prefix)
    yield made
    for _ in range(3):
        made.run("dmsetup", "remove_all")
    ended = subprocess.run(
        [sys.executable, "-m", "thinsim", "dm", "stop"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    for each in attached:
        loop.detach(each)
    assert ended.returncode == 0, ended.stderr
    left = [entry.name for entry in Path("/dev/mapper").iterdir() if entry.name.startswith(prefix)]
    assert left == []
    assert [mount for mount in mounts() if str(mount.mountpoint).startswith(str(runtime))] == []

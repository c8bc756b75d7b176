"""containerd in a directory of its own, on a rig's pool, and ctr to talk to it."""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from thinsim.errors import BenchError, EnvironmentLacksError
from thinsim.rig.journal import Journal, Kind
from thinsim.rig.servers import JOURNAL_VARIABLE
from thinsim.rig.state import ProcessIdentity

NEEDED = {
    "containerd": "apt-get install containerd",
    "ctr": "apt-get install containerd",
    "runc": "apt-get install runc",
    "blkdiscard": "apt-get install util-linux",
    "mkfs.ext4": "apt-get install e2fsprogs",
}
_PATIENCE = 30.0
_CONFIG = """version = 2
root = {root}
state = {state}
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = {socket}
[ttrpc]
address = {ttrpc}
[plugins."io.containerd.snapshotter.v1.devmapper"]
pool_name = {pool}
root_path = {snapshotter}
base_image_size = {base_image_size}
discard_blocks = {discard_blocks}
async_remove = {async_remove}
fs_options = {fs_options}
"""


@dataclass(frozen=True, slots=True)
class ContainerdConfig:
    """What its config.toml says of the devmapper snapshotter."""

    pool: str
    base_image_size: str
    discard_blocks: bool
    async_remove: bool
    fs_options: str = ""
    """What mkfs gets; empty: containerd's default."""


class Containerd:
    """A running containerd; :meth:`ctr` drives it."""

    def __init__(self, socket: Path, environment: Mapping[str, str], log: Path) -> None:
        self._socket = socket
        self._environment = environment
        self.log = log

    async def ctr(self, *words: str | Path) -> str:
        """Run ctr and return what it printed; BenchError with its words if it fails."""
        done = await trio.run_process(
            ["ctr", "--address", str(self._socket), *map(str, words)],
            env=dict(self._environment),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"
            raise BenchError(f"ctr {' '.join(map(str, words))}: {said}")
        return done.stdout.decode(errors="replace")

    async def collect_garbage(self) -> None:
        """Have what is not referenced removed now: ending a lease with --sync waits for a collection."""
        lease = (await self.ctr("leases", "create")).strip()
        await self.ctr("leases", "delete", "--sync", lease)


@asynccontextmanager
async def running_containerd(
    directory: Path,
    sockets: Path,
    config: ContainerdConfig,
    environment: Mapping[str, str],
    journal: Journal,
) -> AsyncIterator[Containerd]:
    """Run containerd with everything of it below *directory*; sockets go to *sockets*, on a short path."""
    check_installed()
    directory.mkdir(mode=0o700)
    file = directory / "config.toml"
    file.write_text(
        _CONFIG.format(
            root=_quoted(directory / "root"),
            state=_quoted(directory / "state"),
            socket=_quoted(sockets / "containerd.sock"),
            ttrpc=_quoted(sockets / "containerd.ttrpc"),
            pool=_quoted(config.pool),
            snapshotter=_quoted(directory / "devmapper"),
            base_image_size=_quoted(config.base_image_size),
            discard_blocks=str(config.discard_blocks).lower(),
            async_remove=str(config.async_remove).lower(),
            fs_options=_quoted(config.fs_options),
        )
    )
    log = directory / "containerd.log"
    full = {**os.environ, **environment, JOURNAL_VARIABLE: str(journal.path)}
    entry = journal.begin(Kind.PROCESS, role="containerd")
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(
            ["containerd", "--config", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=full,
            start_new_session=True,
        )
    identity = ProcessIdentity.of(process.pid)
    journal.amend(entry, pid=process.pid, started=identity.started if identity else 0)
    containerd = Containerd(sockets / "containerd.sock", full, log)
    try:
        await _wait_until_ready(containerd, process)
        yield containerd
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)
            journal.end(entry)


def check_installed() -> None:
    """Raise EnvironmentLacksError naming every program that is missing, with the fix."""
    missing = {name: fix for name, fix in NEEDED.items() if shutil.which(name) is None}
    if missing:
        raise EnvironmentLacksError(
            "; ".join(f"{name} is not installed ({fix})" for name, fix in missing.items())
        )


async def _wait_until_ready(containerd: Containerd, process: trio.Process) -> None:
    with trio.move_on_after(_PATIENCE):
        while process.poll() is None:
            try:
                plugins = await containerd.ctr("plugins", "ls")
            except BenchError:
                await trio.sleep(0.05)
                continue
            state = next((line.split()[-1] for line in plugins.splitlines() if " devmapper " in line), "gone")
            if state != "ok":
                raise BenchError(f"containerd's devmapper snapshotter is not ok: {_why(containerd.log)}")
            return
    raise BenchError(f"containerd does not start: {_why(containerd.log)}")


def _why(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    telling = [line for line in lines if "devmapper" in line and ("error" in line or "fail" in line)]
    return " | ".join((telling or lines)[-3:]) or "it said nothing"


async def _end(process: trio.Process) -> None:
    for act in (process.terminate, process.kill):
        if process.poll() is None:
            act()
            with trio.move_on_after(_PATIENCE):
                await process.wait()


def _quoted(value: object) -> str:
    # A TOML basic string has JSON's escapes.
    return json.dumps(str(value))

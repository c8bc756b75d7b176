"""`running_containerd` runs containerd in its own directory with one snapshotter plugin; ctr drives it."""

import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from thinsim.errors import ProgramFailedError
from thinsim.machine.journal import Journal, TakenKind
from thinsim.machine.servers import JOURNAL_VARIABLE
from thinsim.machine.state import ProcessIdentity
from thinsim.scenario.containerd.builds import ContainerdBuild, find_build
from thinsim.scenario.containerd.config_file import containerd_config
from thinsim.scenario.containerd.plugins import SnapshotterPlugin

_PATIENCE = 30.0


class Containerd:
    """A `Containerd` is a running containerd; :meth:`ctr` drives it."""

    def __init__(
        self, build: ContainerdBuild, socket: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self.build = build
        self._socket = socket
        self._environment = environment
        self.log = log

    async def ctr(self, *words: str | Path) -> str:
        """Run ctr and return its output. ProgramFailedError, with ctr's message, if it fails."""
        done = await trio.run_process(
            [self.build.program("ctr"), "--address", str(self._socket), *map(str, words)],
            env=dict(self._environment),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        if done.returncode != 0:
            why = done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"
            raise ProgramFailedError(f"ctr {' '.join(map(str, words))}: {why}")
        return done.stdout.decode(errors="replace")

    async def collect_garbage(self) -> None:
        """Run containerd's garbage collector: deleting a lease with --sync waits for a collection."""
        lease = (await self.ctr("leases", "create")).strip()
        await self.ctr("leases", "delete", "--sync", lease)


@asynccontextmanager
async def running_containerd(
    directory: Path,
    sockets: Path,
    plugin: SnapshotterPlugin,
    journal: Journal,
    build: ContainerdBuild | None = None,
) -> AsyncIterator[Containerd]:
    """Run *build* with all its files below *directory*, and its sockets in *sockets*, a short path.

    By default the installed build runs. Raises what `find_build` raises, and ProgramFailedError.
    """
    build = build or find_build(None)
    directory.mkdir(mode=0o700)
    file = directory / "config.toml"
    file.write_text(containerd_config(build, directory, sockets, plugin.name, plugin.stanza))
    log = directory / "containerd.log"
    path = build.path(plugin.environment)
    full = {**os.environ, **plugin.environment, "PATH": path, JOURNAL_VARIABLE: str(journal.path)}
    entry = journal.begin(TakenKind.PROCESS, role="containerd")
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(
            [build.program("containerd"), "--config", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=full,
            start_new_session=True,
        )
    identity = ProcessIdentity.of(process.pid)
    journal.amend(entry, pid=process.pid, started=identity.started if identity else 0)
    containerd = Containerd(build, sockets / "containerd.sock", full, log)
    try:
        await _wait_until_ready(containerd, process, plugin.name)
        yield containerd
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)
            journal.end(entry)


async def _wait_until_ready(containerd: Containerd, process: trio.Process, plugin: str) -> None:
    with trio.move_on_after(_PATIENCE):
        while process.poll() is None:
            try:
                plugins = await containerd.ctr("plugins", "ls")
            except ProgramFailedError:
                await trio.sleep(0.05)
                continue
            words = (line.split() for line in plugins.splitlines())
            state = next((fields[-1] for fields in words if fields[1] == plugin), "gone")
            if state != "ok":
                raise ProgramFailedError(
                    f"containerd did not load the {plugin} snapshotter: {_why(containerd.log, plugin)}"
                )
            return
    raise ProgramFailedError(f"containerd did not start: {_why(containerd.log, plugin)}")


def _why(log: Path, plugin: str) -> str:
    lines = log.read_text(errors="replace").splitlines()
    failures = [line for line in lines if plugin in line and ("error" in line or "fail" in line)]
    return " | ".join((failures or lines)[-3:]) or "its log is empty"


async def _end(process: trio.Process) -> None:
    for act in (process.terminate, process.kill):
        if process.poll() is None:
            act()
            with trio.move_on_after(_PATIENCE):
                await process.wait()

"""``python -m thinsim.crashes.victim`` is a process that forks a victim for each line of its input.

A line is a request as JSON. The answer is a line with the victim's exit status, negative for a signal. The
parent has loaded all modules and does nothing else, so a victim starts within milliseconds.
"""

import json
import logging
import os
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from fuse_backing.control import ControlClient
from thinsim.crashes.dying import Countdown, CountedMounter
from thinsim.crashes.operations import OPERATIONS
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.metadata_device import MetadataFile
from thinsim.errors import ThinsimError
from thinsim.machine.journal import Journal
from thinsim.machine.mounts import RecordedMounter
from thinsim.machine.state import STATE_VARIABLE
from thinsim.scenario.file.interception import watched
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.host import CommandFailedError, LinuxHost, SnapshotHost
from thinsim.snapshotter.interface import Mount
from thinsim.snapshotter.pool_contents import ClosableStore, open_metadata_node
from thinsim.snapshotter.retry import CONTAINERD_RETRY, RetryRule, RetryRules
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

IMPATIENT = RetryRules(RetryRule(2, 0.01, CONTAINERD_RETRY.busy.errnos), CONTAINERD_RETRY.hold)
"""Rules with few tries: a device that is held open stays busy at every try."""


@dataclass(frozen=True, slots=True)
class VictimRequest:
    """A `VictimRequest` describes one victim.

    *operation* names the operation, *die_at* the step to die at (0: never). *config* is the path of the
    configuration, *socket* the path of the device-mapper's socket. *metadata_file* is the file of the pool's
    metadata, empty if the metadata is on a device. The victim writes the names of its steps to *trail* and
    its journal below *state*.
    """

    operation: str
    config: str
    socket: str
    metadata_file: str
    trail: str
    state: str
    die_at: int = 0
    during: bool = False

    def to_line(self) -> bytes:
        """Return the line that ``main`` reads."""
        return json.dumps(asdict(self)).encode() + b"\n"


class ServedHost:
    """A `ServedHost` is a `SnapshotHost` without device nodes: it sends requests to the pool's process."""

    def __init__(self, socket: Path) -> None:
        self._client = ControlClient(socket)

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        await self._client.call("mkfs", name=device.name)

    async def discard(self, device: Path, step: int | None = None) -> None:
        await self._client.call("discard", name=device.name, step=step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        """Do nothing: these devices have no file system."""


class _WithoutMkfs:
    """A `_WithoutMkfs` is a `SnapshotHost` whose mkfs always fails."""

    def __init__(self, host: SnapshotHost) -> None:
        self._host = host

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        raise CommandFailedError((f"mkfs.{fs_type}", str(device)), 1, "mkfs fails on purpose")

    async def discard(self, device: Path, step: int | None = None) -> None:
        await self._host.discard(device, step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        await self._host.remove_lost_and_found(mount)


async def _operate(request: VictimRequest) -> None:
    operation = OPERATIONS[request.operation]
    countdown = Countdown(Path(request.trail), request.die_at, during=request.during)
    journal = Journal.create()
    host: SnapshotHost
    if request.metadata_file:
        host = ServedHost(Path(request.socket))
    else:
        mounter = CountedMounter(RecordedMounter(journal), countdown)
        host = LinuxHost(mounter, Path(request.state) / "mount")
    if operation.mkfs_fails:
        host = _WithoutMkfs(host)
    dm, host = watched(EmulatedDeviceMapper(Path(request.socket)), host, countdown)

    def open_metadata(device: str) -> ClosableStore:
        return (
            MetadataFile(Path(request.metadata_file)) if request.metadata_file else open_metadata_node(device)
        )

    countdown.counting = operation.from_start
    snapshotter = await DevmapperSnapshotter.open(
        Config.load(Path(request.config)),
        dm,
        host,
        retry=IMPATIENT if operation.holds else CONTAINERD_RETRY,
        open_metadata=open_metadata,
        watch_writes=countdown.write,
    )
    countdown.counting = True
    try:
        await operation.act(snapshotter)
    except ThinsimError:
        if not (operation.mkfs_fails or operation.holds):
            raise
    countdown.step("end")
    await snapshotter.close()
    journal.close()


def main() -> None:
    """Fork victims, one after another, until the input ends."""
    # Each start would log a warning about the state that the victim before has left.
    logging.getLogger("thinsim.snapshotter").setLevel(logging.ERROR)
    for line in sys.stdin.buffer:
        request = VictimRequest(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.environ[STATE_VARIABLE] = request.state
                trio.run(_operate, request)
                status = 0
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(status)
        _, waited = os.waitpid(pid, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(waited)}\n".encode())


if __name__ == "__main__":
    main()

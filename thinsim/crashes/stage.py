"""A `CrashStage` has a pool that outlives its snapshotters, and writes content that identifies snapshots.

On the process rig the pool is in this process and victims reach it over a socket. On the emulated rig the
daemon has the pool, and mkfs, mounts and files are real.
"""

import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import trio

from fuse_backing.control import ControlServer
from thinsim.dm.daemon.verbs import verb_handlers
from thinsim.machine.journal import Journal
from thinsim.rig import emulated, process
from thinsim.rig.contents import BARE
from thinsim.rig.emulated import EMULATED, EmulatedRig
from thinsim.rig.interface import Rig
from thinsim.rig.process import PROCESS, ProcessRig
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes

_DATA_SIZE = Bytes(256 << 20)
_METADATA_SIZE = Bytes(4 << 20)
_CONTENT = 1 << 20
_BLOCK = 64 << 10


class CrashStage(Protocol):
    """A `CrashStage` runs a pool, gives victims access to it, and writes and reads content."""

    @property
    def rig(self) -> Rig:
        """Return the rig with the pool."""

    @property
    def socket(self) -> Path:
        """Return the socket of the device-mapper for victims."""

    @property
    def metadata_file(self) -> str:
        """Return the file of the pool's metadata, or an empty text if the metadata is on a device."""

    @property
    def data_file(self) -> Path:
        """Return the file of the pool's data on the host."""

    async def write(self, device: str, number: int) -> None:
        """Write content number *number* to an active device: some new data, some over existing data."""

    async def content(self, device: str) -> str:
        """Return a digest of an active device's content. Raise ThinsimError or OSError if that fails."""


class ProcessStage:
    """A `ProcessStage` writes blocks to devices without nodes."""

    def __init__(self, rig: ProcessRig, socket: Path) -> None:
        self.rig = rig
        self.socket = socket
        self.metadata_file = str(rig.directory / "metadata")
        self.data_file = rig.directory / "data"

    async def write(self, device: str, number: int) -> None:
        """Write two blocks that only this number writes, and one that all numbers write."""
        block = bytes([number]) * _BLOCK
        for offset in (_CONTENT, _CONTENT + 2 * number * _BLOCK, _CONTENT + (2 * number + 1) * _BLOCK):
            await self.rig.write(device, offset, block)

    async def content(self, device: str) -> str:
        """Return a digest of the area that ``write`` writes to."""
        return hashlib.sha256(await self.rig.read(device, _CONTENT, 16 * _BLOCK)).hexdigest()


class EmulatedStage:
    """An `EmulatedStage` writes files to mounted devices."""

    metadata_file = ""

    def __init__(self, rig: EmulatedRig) -> None:
        self.rig = rig
        self.socket = rig.dm.socket
        self.data_file = rig.backing.data_file
        self._target = rig.directory / "look"

    async def write(self, device: str, number: int) -> None:
        """Write a file that only this number writes, and one that all numbers write."""
        async with self._mounted(device) as root:
            await trio.to_thread.run_sync(_write_files, root, number)

    async def content(self, device: str) -> str:
        """Return a digest of all files. The mount does not replay the journal, since that would write."""
        async with self._mounted(device, "ro", "noload") as root:
            return await trio.to_thread.run_sync(_digest_of_files, root)

    @asynccontextmanager
    async def _mounted(self, device: str, *options: str) -> AsyncIterator[Path]:
        await self.rig.mounter.mount(str(self.rig.dm.path(device)), self._target, "ext4", options)
        try:
            yield self._target
        finally:
            await self.rig.mounter.unmount(self._target)


@asynccontextmanager
async def running_stage(rig: str, directory: Path, journal: Journal, name: str) -> AsyncIterator[CrashStage]:
    """Run a new pool *name* in *directory* on the rig named *rig*, a key of ``STAGES``."""
    shape = PoolShape(name, data_size=_DATA_SIZE, metadata_size=_METADATA_SIZE)
    async with STAGES[rig](directory, shape, journal) as stage:
        yield stage


@asynccontextmanager
async def _on_emulated(directory: Path, shape: PoolShape, journal: Journal) -> AsyncIterator[CrashStage]:
    async with emulated.running(directory, shape, journal) as rig:
        yield EmulatedStage(rig)


@asynccontextmanager
async def _on_process(directory: Path, shape: PoolShape, journal: Journal) -> AsyncIterator[CrashStage]:
    async with process.running(directory, shape, journal, BARE) as rig, trio.open_nursery() as nursery:
        # The path of a unix socket must be short.
        sockets = Path(tempfile.mkdtemp(prefix="thinsim-"))
        try:
            await nursery.start(ControlServer(_served(rig)).serve, sockets / "dm")
            yield ProcessStage(rig, sockets / "dm")
            nursery.cancel_scope.cancel()
        finally:
            shutil.rmtree(sockets)


STAGES: Mapping[str, Callable[[Path, PoolShape, Journal], AbstractAsyncContextManager[CrashStage]]] = {
    PROCESS.name: _on_process,
    EMULATED.name: _on_emulated,
}
"""The function that runs a stage, by the name of its rig."""


def _served(rig: ProcessRig) -> Mapping[str, Any]:
    async def mkfs(arguments: dict[str, Any]) -> None:
        await rig.host.make_filesystem(Path(arguments["name"]), "", "")

    async def discard(arguments: dict[str, Any]) -> None:
        await rig.host.discard(Path(arguments["name"]), arguments["step"])

    return {**verb_handlers(rig.dm), "mkfs": mkfs, "discard": discard}


def _write_files(root: Path, number: int) -> None:
    (root / f"own-{number}").write_bytes(bytes([number]) * (3 * _BLOCK))
    (root / "common").write_bytes(bytes([number]) * 4096)


def _digest_of_files(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()

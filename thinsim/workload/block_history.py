"""A `BlockHistory` records the writes of each act of a scenario per thin device, to replay them later.

It is recorded on a rig with mounts and replayed on a rig without them: with the same snapshots and the same
writes per layer, the pool provisions, shares and breaks the same blocks. A device is identified by its name
within the pool (``snap-1`` of ``POOL-snap-1``), since each run has its own pool name. Contents are not
recorded. A replayed write writes a pattern that is never all zero, so that the host allocates space as it
does for real data.
"""

import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import trio

from thinsim.block.linux import LinuxBlockDevice
from thinsim.dm.names import MAPPER
from thinsim.dm.write_trace import TracedWrite
from thinsim.errors import InvalidValueError
from thinsim.snapshotter.host import SnapshotHost
from thinsim.snapshotter.interface import Mount
from thinsim.workload.container_files import container_writes
from thinsim.workload.interface import Workload

_Result = TypeVar("_Result")

FORMAT = 1
BUNDLED = Path(__file__).with_name("history.json.gz")
"""Path of the recording that comes with thinsim: the default image and a 100 MiB container."""

_PATTERN = (bytes(range(1, 252)) * 4200)[: 1 << 20]


@dataclass(slots=True)
class BlockHistory:
    """A `BlockHistory` lists acts in order, each with its writes, and describes the recorded scenario."""

    base_image_size: str
    container_bytes: int
    image: str
    layers: int
    acts: dict[str, list[TracedWrite]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the history to *path* as gzipped JSON; the same history always gives the same bytes."""
        document = {
            "format": FORMAT,
            "base_image_size": self.base_image_size,
            "container_bytes": self.container_bytes,
            "image": self.image,
            "layers": self.layers,
            "acts": {
                act: [[w.device, w.operation, w.offset, w.length] for w in writes]
                for act, writes in self.acts.items()
            },
        }
        path.write_bytes(gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0))

    @classmethod
    def load(cls, path: Path) -> "BlockHistory":
        """Read a history from *path*. Raises InvalidValueError, which names the file and the fault."""
        try:
            document: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
            if document["format"] != FORMAT:
                raise InvalidValueError(
                    f"{path}: block history of format {document['format']}; thinsim reads format {FORMAT}"
                )
            return cls(
                base_image_size=str(document["base_image_size"]),
                container_bytes=int(document["container_bytes"]),
                image=str(document["image"]),
                layers=int(document["layers"]),
                acts={
                    act: [
                        TracedWrite(str(d), str(op), int(offset), int(length))
                        for d, op, offset, length in writes
                    ]
                    for act, writes in document["acts"].items()
                },
            )
        except FileNotFoundError:
            raise InvalidValueError(f"{path}: no such block history") from None
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidValueError(f"{path}: not a block history ({error})") from None


class TracedDeviceMapper(Protocol):
    """A `TracedDeviceMapper` records the writes and discards of its thin devices."""

    async def start_trace(self) -> None:
        """Record every write and discard from now on."""

    async def take_trace(self) -> Sequence[TracedWrite]:
        """Return the operations recorded since the last call."""


class RecordingHost:
    """A `RecordingHost` wraps a SnapshotHost and a Workload, and records each act's writes in *history*."""

    def __init__(
        self, host: SnapshotHost, workload: Workload, dm: TracedDeviceMapper, pool: str, history: BlockHistory
    ) -> None:
        self._host = host
        self._workload = workload
        self._dm = dm
        self._pool = pool
        self._history = history

    @property
    def layer_count(self) -> int:
        return self._workload.layer_count

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        await self._record("mkfs", device, self._host.make_filesystem(device, fs_type, fs_options))

    async def discard(self, device: Path, step: int | None = None) -> None:
        # The snapshotter decides whether to discard, so discards are not part of the history.
        await self._host.discard(device, step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        await self._record("lost+found", Path(mount.source), self._host.remove_lost_and_found(mount))

    async def unpack(self, number: int, mounts: Sequence[Mount]) -> int | None:
        return await self._record("unpack", Path(mounts[0].source), self._workload.unpack(number, mounts))

    async def run_container(self, mounts: Sequence[Mount]) -> int | None:
        return await self._record("container", Path(mounts[0].source), self._workload.run_container(mounts))

    async def _record(self, act: str, device: Path, work: Awaitable[_Result]) -> _Result:
        await self._dm.take_trace()
        result = await work
        prefix = f"{self._pool}-"
        self._history.acts[f"{act} {device.name.removeprefix(prefix)}"] = [
            replace(write, device=write.device.removeprefix(prefix)) for write in await self._dm.take_trace()
        ]
        return result


class PlayedDevice(Protocol):
    """A `PlayedDevice` is a thin device that replays a history. Offsets and lengths are in bytes."""

    @property
    def size(self) -> int:
        """Return the size of the device in bytes."""

    async def write(self, offset: int, data: bytes) -> None:
        """Write *data* at *offset*; return once the pool has it."""

    async def discard(self, offset: int, length: int) -> None:
        """Discard *length* bytes at *offset*."""


OpenDevice = Callable[[str], AbstractAsyncContextManager[PlayedDevice]]
"""Opens a thin device by its name."""


class _NodeDevice:
    def __init__(self, device: LinuxBlockDevice) -> None:
        self._device = device

    @property
    def size(self) -> int:
        return self._device.size

    async def write(self, offset: int, data: bytes) -> None:
        await trio.to_thread.run_sync(self._device.write, offset, data)

    async def discard(self, offset: int, length: int) -> None:
        await trio.to_thread.run_sync(self._device.discard, offset, length)


@asynccontextmanager
async def open_played_node(name: str) -> AsyncIterator[PlayedDevice]:
    """Open a device by its node, bypassing the page cache, so that each write is one request."""
    device = await trio.to_thread.run_sync(LinuxBlockDevice, MAPPER / name)
    try:
        yield _NodeDevice(device)
    finally:
        device.close()


class ReplayingHost:
    """A `ReplayingHost` is a SnapshotHost and Workload that replays a history.

    *open_device* opens the thin devices.
    """

    def __init__(self, open_device: OpenDevice, pool: str, history: BlockHistory) -> None:
        self._open_device = open_device
        self._pool = pool
        self._history = history

    @property
    def layer_count(self) -> int:
        return self._history.layers

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        await self._play("mkfs", device)

    async def discard(self, device: Path, step: int | None = None) -> None:
        async with self._open_device(device.name) as played:
            for start in range(0, played.size, step or played.size):
                await played.discard(start, min(step or played.size, played.size - start))

    async def remove_lost_and_found(self, mount: Mount) -> None:
        await self._play("lost+found", Path(mount.source))

    async def unpack(self, number: int, mounts: Sequence[Mount]) -> None:
        await self._play("unpack", Path(mounts[0].source))

    async def run_container(self, mounts: Sequence[Mount]) -> int:
        await self._play("container", Path(mounts[0].source))
        return container_writes(self._history.container_bytes)

    async def _play(self, act: str, device: Path) -> None:
        key = f"{act} {device.name.removeprefix(f'{self._pool}-')}"
        try:
            writes = self._history.acts[key]
        except KeyError:
            raise InvalidValueError(f"the block history has no act {key!r}") from None
        async with AsyncExitStack() as stack:
            opened: dict[str, PlayedDevice] = {}
            for write in writes:
                if write.device not in opened:
                    opening = self._open_device(f"{self._pool}-{write.device}")
                    opened[write.device] = await stack.enter_async_context(opening)
                await _play(opened[write.device], write)


async def _play(device: PlayedDevice, write: TracedWrite) -> None:
    if write.operation == "discard":
        await device.discard(write.offset, write.length)
        return
    for start in range(0, write.length, len(_PATTERN)):
        piece = min(len(_PATTERN), write.length - start)
        await device.write(write.offset + start, _PATTERN[:piece])

"""A snapshotter on a rig, with everything that a test may watch or disturb."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tapped_device_mapper import POOL, TappedDeviceMapper

from thinsim.snapshotter.config import Config
from thinsim.snapshotter.events import DeviceEvent, DeviceEventKind
from thinsim.snapshotter.interface import Mount, Snapshotter
from thinsim.snapshotter.retry import BusyRetry
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

BASE_SIZE = 64 << 20
BLOCK = 64 << 10


@dataclass
class Rig:
    """A device-mapper with the pool POOL, and how to reach the data of its active devices."""

    dm: TappedDeviceMapper
    write: Callable[[str, int], Awaitable[None]]
    """Write that many bytes to the start of the device of that name."""
    discard: Callable[[str], Awaitable[None]]
    data: Path
    """The host's file below the pool."""


class RigHost:
    """A SnapshotHost on a rig without nodes: mkfs writes one block, and all is noted."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.mkfs: list[tuple[str, str, str]] = []
        self.discards: list[str] = []
        self.cleared: list[Mount] = []
        self.mkfs_error: Exception | None = None
        self.discard_error: Exception | None = None

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        self.mkfs.append((device.name, fs_type, fs_options))
        if self.mkfs_error is not None:
            raise self.mkfs_error
        await self._rig.write(device.name, BLOCK)

    async def discard(self, device: Path) -> None:
        if self.discard_error is not None:
            raise self.discard_error
        await self._rig.discard(device.name)
        self.discards.append(device.name)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        self.cleared.append(mount)


@dataclass
class Bench:
    """Opens snapshotters on one rig; all events of all of them in *events*."""

    rig: Rig
    root: Path
    events: list[DeviceEvent] = field(default_factory=list)
    opened: list[DevmapperSnapshotter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dm = self.rig.dm
        self.host = RigHost(self.rig)

    def config(self, **flags: Any) -> Config:
        return Config(
            **{"root_path": self.root, "pool_name": POOL, "base_image_size": str(BASE_SIZE), **flags}
        )

    async def open(self, **flags: Any) -> DevmapperSnapshotter:
        snapshotter = await DevmapperSnapshotter.open(
            self.config(**flags),
            self.dm,
            self.host,
            observer=self.events.append,
            retry=BusyRetry(tries=3, interval=0),
        )
        self.opened.append(snapshotter)
        return snapshotter

    async def close(self) -> None:
        for snapshotter in self.opened:
            await snapshotter.close()

    def host_bytes(self) -> int:
        """What the host has allocated for the pool's data."""
        return self.rig.data.stat().st_blocks * 512

    def kinds(self) -> list[DeviceEventKind]:
        return [event.kind for event in self.events]

    def ends(self) -> list[tuple[str, str, str]]:
        """What became of devices: (kind, snapshot, detail) of discards and deletions."""
        wanted = (DeviceEventKind.DISCARDED, DeviceEventKind.DISCARD_SKIPPED, DeviceEventKind.DELETED)
        return [(e.kind, e.snapshot, str(e.detail)) for e in self.events if e.kind in wanted]


async def committed(
    snapshotter: Snapshotter, name: str, parent: str = "", labels: Mapping[str, str] | None = None
) -> None:
    """Prepare and commit *name* on *parent*."""
    await snapshotter.prepare(f"{name}-key", parent, labels)
    await snapshotter.commit(name, f"{name}-key", labels)

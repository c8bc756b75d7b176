"""`TappedSnapshotters` opens snapshotters on a bare rig that a test can watch and disturb."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.snapshotter.tapped_device_mapper import TappedDeviceMapper
from thinsim.rig.interface import Rig
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.device_store import DeviceStore
from thinsim.snapshotter.discarding import DiscardPolicy
from thinsim.snapshotter.events import DeviceEvent, DeviceEventKind
from thinsim.snapshotter.host import SnapshotHost
from thinsim.snapshotter.interface import Mount, Snapshotter
from thinsim.snapshotter.metastore import MetaStore
from thinsim.snapshotter.pool_device import PoolDevice
from thinsim.snapshotter.retry import RetryRule, RetryRules
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

BASE_SIZE = 64 << 20
BLOCK = 64 << 10
AT_ONCE = RetryRules(
    busy=RetryRule(3, 0, frozenset({errno.EBUSY})), hold=RetryRule(3, 0, frozenset({errno.EINVAL}))
)
"""Rules that retry without waiting."""


class TappedHost:
    """A `TappedHost` wraps the rig's `SnapshotHost`, records each call, and fails if a test asks for it."""

    def __init__(self, host: SnapshotHost) -> None:
        self._host = host
        self.mkfs: list[tuple[str, str, str]] = []
        self.discards: list[str] = []
        self.steps: list[int | None] = []
        self.cleared: list[Mount] = []
        self.mkfs_error: Exception | None = None
        self.discard_error: Exception | None = None

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        self.mkfs.append((device.name, fs_type, fs_options))
        if self.mkfs_error is not None:
            raise self.mkfs_error
        await self._host.make_filesystem(device, fs_type, fs_options)

    async def discard(self, device: Path, step: int | None = None) -> None:
        if self.discard_error is not None:
            raise self.discard_error
        await self._host.discard(device, step)
        self.discards.append(device.name)
        self.steps.append(step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        self.cleared.append(mount)
        await self._host.remove_lost_and_found(mount)


@dataclass
class TappedSnapshotters:
    """A `TappedSnapshotters` opens snapshotters on one rig and collects their events in *events*."""

    rig: Rig
    root: Path
    events: list[DeviceEvent] = field(default_factory=list)
    opened: list[DevmapperSnapshotter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dm = TappedDeviceMapper(self.rig.dm)
        self.host = TappedHost(self.rig.host)
        self.pool = self.rig.shape.name

    def config(self, **flags: Any) -> Config:
        return Config(
            **{"root_path": self.root, "pool_name": self.pool, "base_image_size": str(BASE_SIZE), **flags}
        )

    async def open(self, *, retry: RetryRules = AT_ONCE, **flags: Any) -> DevmapperSnapshotter:
        snapshotter = await DevmapperSnapshotter.open(
            self.config(**flags),
            self.dm,
            self.host,
            observer=self.events.append,
            retry=retry,
            open_metadata=self.rig.open_metadata,
        )
        self.opened.append(snapshotter)
        return snapshotter

    async def close(self) -> None:
        for snapshotter in self.opened:
            await snapshotter.close()

    async def write(self, device: str, size: int, offset: int = 0) -> None:
        """Write whole blocks to an active device."""
        for start in range(offset, offset + size, BLOCK):
            await self.rig.write(device, start, b"\xa5" * BLOCK)

    @contextmanager
    def device_store(self) -> Iterator[DeviceStore]:
        """Open the device records again, while snapshotters have them open."""
        with closing(DeviceStore(self.root / f"{self.pool}.db")) as metadata:
            yield metadata

    @contextmanager
    def store(self) -> Iterator[MetaStore]:
        """Open the store of snapshots again, while snapshotters have it open."""
        with closing(MetaStore(self.root / "metadata.db")) as store:
            yield store

    @contextmanager
    def pool_device(self, **flags: Any) -> Iterator[PoolDevice]:
        """Make a `PoolDevice` on the device records of the snapshotters."""
        with self.device_store() as metadata:
            policy = DiscardPolicy.of(self.config(**flags))
            yield PoolDevice(self.dm, self.host, metadata, self.pool, policy=policy, retry=AT_ONCE)

    def kinds(self) -> list[DeviceEventKind]:
        return [event.kind for event in self.events]

    def ends(self) -> list[tuple[str, str, str]]:
        """Return (kind, snapshot, detail) of each discard, skipped discard and deletion."""
        wanted = (DeviceEventKind.DISCARDED, DeviceEventKind.DISCARD_SKIPPED, DeviceEventKind.DELETED)
        return [(e.kind, e.snapshot, str(e.detail)) for e in self.events if e.kind in wanted]


async def committed(
    snapshotter: Snapshotter, name: str, parent: str = "", labels: Mapping[str, str] | None = None
) -> None:
    """Prepare and commit *name* on *parent*."""
    await snapshotter.prepare(f"{name}-key", parent, labels)
    await snapshotter.commit(name, f"{name}-key", labels)

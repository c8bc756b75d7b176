"""Says what containerd sees of a snapshotter: ``key`` for active, ``name`` for committed, ``parent``.

Source of the contract: containerd ``core/snapshots/snapshotter.go``. Errors are those of
``thinsim.snapshotter.errors``.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a snapshot is; containerd's ``snapshots.Kind`` in its own spelling."""

    VIEW = "View"
    ACTIVE = "Active"
    COMMITTED = "Committed"


@dataclass(frozen=True, slots=True)
class Info:
    """A snapshot's record. *parent* is empty for a base snapshot; times are aware, UTC."""

    kind: Kind
    name: str
    parent: str
    labels: Mapping[str, str]
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes and inodes (0: devmapper does not count them) that a snapshot adds to its parent.

    *size* can be negative for a view, as in containerd (leak G of its accounting).
    """

    size: int
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class Mount:
    """What mount(8) needs: file system type, source device, options."""

    type: str
    """The file system type."""
    source: str
    """The path of the device."""
    options: tuple[str, ...] = field(default=())
    """The mount options."""


class Snapshotter(Protocol):
    """containerd's snapshotter verbs. All are safe to call again after a failure."""

    async def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> list[Mount]:
        """Make an active (writable) snapshot *key* on *parent*. AlreadyExistsError, NotFoundError."""

    async def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[Mount]:
        """Make a read-only snapshot *key* on *parent*."""

    async def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None) -> None:
        """Turn active *key* into committed *name*."""

    async def remove(self, key: str) -> None:
        """Remove a snapshot. FailedPreconditionError while it has children."""

    async def mounts(self, key: str) -> list[Mount]:
        """Return the mounts of an active snapshot or view."""

    async def usage(self, key: str) -> Usage:
        """Return what *key* adds to its parent."""

    async def stat(self, key: str) -> Info:
        """Return the record of *key*. NotFoundError."""

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Change labels; InvalidArgumentError for an immutable field."""

    def walk(self, *filters: str) -> AsyncIterator[Info]:
        """Yield every record, by name; with *filters*, those that fit any of them. InvalidArgumentError."""

    async def cleanup(self) -> None:
        """Remove the devices of snapshots that ``async_remove`` left."""

    async def close(self) -> None:
        """Release the store; the pool stays. Idempotent."""

"""`Snapshotter` is containerd's interface to a snapshotter.

The contract is that of containerd ``core/snapshots/snapshotter.go``: an active snapshot has a ``key``, a
committed one a ``name``, and both may have a ``parent``. The errors are those of
``thinsim.snapshotter.errors``.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """A `Kind` is containerd's ``snapshots.Kind`` in containerd's spelling."""

    VIEW = "View"
    ACTIVE = "Active"
    COMMITTED = "Committed"


@dataclass(frozen=True, slots=True)
class Info:
    """An `Info` is the record of a snapshot. *parent* is empty for a base snapshot; times are aware, UTC."""

    kind: Kind
    name: str
    parent: str
    labels: Mapping[str, str]
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """A `Usage` is the number of bytes and inodes that a snapshot adds to its parent.

    *inodes* is 0: devmapper does not count them. *size* can be negative for a view, as in containerd
    (leak G, in the table of docs/snapshotter.md).
    """

    size: int
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class Mount:
    """A `Mount` has the arguments of mount(8): file system type, source device, options."""

    type: str
    """The file system type."""
    source: str
    """The path of the device."""
    options: tuple[str, ...] = field(default=())
    """The mount options."""


class Snapshotter(Protocol):
    """A `Snapshotter` implements containerd's verbs. Each may be called again after a failure."""

    async def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> list[Mount]:
        """Create an active (writable) snapshot *key* on *parent* and return its mounts.

        Raise AlreadyExistsError if *key* is taken, NotFoundError if *parent* does not exist.
        """

    async def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[Mount]:
        """Create a read-only snapshot *key* on *parent* and return its mounts. Errors as for ``prepare``."""

    async def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None) -> None:
        """Turn the active snapshot *key* into the committed snapshot *name*."""

    async def remove(self, key: str) -> None:
        """Remove a snapshot. Raise FailedPreconditionError while it has children."""

    async def mounts(self, key: str) -> list[Mount]:
        """Return the mounts of an active snapshot or view."""

    async def usage(self, key: str) -> Usage:
        """Return the bytes and inodes that *key* adds to its parent."""

    async def stat(self, key: str) -> Info:
        """Return the record of *key*. Raise NotFoundError if it does not exist."""

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Change labels and return the new record. Raise InvalidArgumentError for an immutable field."""

    def walk(self, *filters: str) -> AsyncIterator[Info]:
        """Yield the records that match any of *filters*, or all records without filters, sorted by name.

        Raise InvalidArgumentError for an invalid filter.
        """

    async def cleanup(self) -> None:
        """Remove the devices that earlier removals have left, such as with ``async_remove``."""

    async def close(self) -> None:
        """Close the store; the pool stays. A second call does nothing."""

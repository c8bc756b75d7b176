"""Says what happened to a thin device, so that a leaked byte can be traced to its step.

The pool device tells an observer of each step when it has happened. A device that leaves the pool
gives exactly one ``DISCARDED`` or ``DISCARD_SKIPPED`` and then one ``DELETED``. A removal that fails
gives no ``DELETED``; it gives a discard event only if a discard was carried out or failed, and the
next try gives its own. ``DEACTIVATED`` comes after the discard that precedes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class DeviceEventKind(StrEnum):
    """What happened."""

    CREATED = "created"
    """A thin id was created, empty."""
    SNAPSHOTTED = "snapshotted"
    """A thin id was created as a snapshot; *detail* is the origin's device name."""
    DEACTIVATED = "deactivated"
    """The device-mapper device went; *detail* is ``deferred`` if it may linger until its last close."""
    DISCARDED = "discarded"
    """The whole device was discarded."""
    DISCARD_SKIPPED = "discard skipped"
    """The device goes without a discard; *detail* is a DiscardSkipped."""
    DELETED = "deleted"
    """The thin id was deleted and its blocks returned to the pool."""


class DiscardSkipped(StrEnum):
    """Why a device was deleted without having been discarded."""

    OFF = "deleted without discard: discard_blocks is off"
    NOT_ACTIVE = "committed snapshot: its device was already deactivated, so nothing was discarded"
    NOT_ACTIVE_UNCOMMITTED = (
        "uncommitted snapshot: its device was not active any more, so nothing was discarded"
    )
    BUSY = "device busy when its discard was due"
    FAILED = "discard failed"


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """One step in the life of a device.

    *snapshot* is the key (or, once committed, the name) it served at that moment, *device* the
    device-mapper name, *thin_id* its id in the pool.
    """

    kind: DeviceEventKind
    snapshot: str
    device: str
    thin_id: int
    detail: str = ""


Observer: TypeAlias = Callable[[DeviceEvent], None]


def ignore(event: DeviceEvent) -> None:
    """Observe nothing: the observer of those who do not ask."""

"""A `DeviceEvent` reports one act on a thin device, so that a leaked byte can be traced to its cause.

`PoolDevice` calls an observer after each act. A device that leaves the pool causes exactly one
``DISCARDED`` or ``DISCARD_SKIPPED`` and then one ``DELETED``. A removal that fails causes no
``DELETED``. It causes a discard event only if the discard succeeded or failed, and the next try causes
another. ``DEACTIVATED`` follows the discard.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class DeviceEventKind(StrEnum):
    """A `DeviceEventKind` names the act."""

    CREATED = "created"
    """A thin id was created, empty."""
    SNAPSHOTTED = "snapshotted"
    """A thin id was created as a snapshot; *detail* is the origin's device name."""
    DEACTIVATED = "deactivated"
    """The device-mapper device was removed; *detail* is ``deferred`` if it may stay until its last close."""
    DISCARDED = "discarded"
    """The whole device was discarded."""
    DISCARD_SKIPPED = "discard skipped"
    """The device is removed without a discard; *detail* is a DiscardSkipped."""
    DELETED = "deleted"
    """The thin id was deleted and its blocks returned to the pool."""


class DiscardSkipped(StrEnum):
    """A `DiscardSkipped` is the reason why a device was deleted without a discard."""

    OFF = "deleted without discard: discard_blocks is off"
    NOT_ACTIVE = "committed snapshot: its device was already deactivated, so nothing was discarded"
    NOT_ACTIVE_UNCOMMITTED = (
        "uncommitted snapshot: its device was not active any more, so nothing was discarded"
    )
    BUSY = "device busy when its discard was due"
    FAILED = "discard failed"


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """A `DeviceEvent` reports one act on a device.

    *snapshot* is the key (once committed, the name) that the device served at that moment, *device* the
    device-mapper name, *thin_id* the id in the pool.
    """

    kind: DeviceEventKind
    snapshot: str
    device: str
    thin_id: int
    detail: str = ""


Observer: TypeAlias = Callable[[DeviceEvent], None]


def ignore(event: DeviceEvent) -> None:
    """Do nothing: the default observer."""

"""Says what the device-mapper knows of one kind of target (linux/device-mapper.h, struct target_type)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from thinsim.dm.activity import ActivityLog
from thinsim.dm.emulator.lower.lower_devices import LowerDevices
from thinsim.dm.emulator.pool.pool_objects import PoolObjects
from thinsim.dm.emulator.targets.interface import Target
from thinsim.dm.text import TableLine
from thinsim.dm.write_trace import WriteTrace


class TableOwner(Protocol):
    """The mapped device that a table is loaded into."""

    name: str


@dataclass(frozen=True, slots=True)
class TargetServices:
    """What a device-mapper lends to all of its targets."""

    lower: LowerDevices
    pools: PoolObjects
    trace: WriteTrace
    activity: ActivityLog


@dataclass(frozen=True, slots=True)
class TargetType:
    """The record of one kind of target; the registry lists one for each.

    Whether a target takes discards, write-zeroes requests or messages, and which devices it stands on,
    depends on its table: the target itself says so.
    """

    target: type[Target]
    """The class of such targets; its ``kind`` is the name in tables."""

    version: tuple[int, int, int]
    """As ``dmsetup targets`` prints it; that of Linux 6.1."""

    build: Callable[[TableLine, TableOwner, TargetServices], Awaitable[Target]]
    """Parses a line's arguments and opens what they name; DeviceMapperError in the kernel's order."""

    singleton: bool = False
    """It must be alone in its table (DM_TARGET_SINGLETON)."""

    always_writable: bool = False
    """No read-only table may have it (DM_TARGET_ALWAYS_WRITEABLE)."""

    immutable: bool = False
    """No other type may replace it in a live device (DM_TARGET_IMMUTABLE)."""

    wildcard: bool = False
    """It may replace even an immutable type, as a forced removal does (DM_TARGET_WILDCARD)."""

    shows_pool: bool = False
    """Its device is a pool's own: the pool's events are the device's, and its removal commits."""

    @property
    def name(self) -> str:
        """The word of tables."""
        return self.target.kind

"""A `TargetType` describes one kind of target (linux/device-mapper.h, struct target_type)."""

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
    """A `TableOwner` is the mapped device that a table is loaded into."""

    name: str


@dataclass(frozen=True, slots=True)
class TargetServices:
    """`TargetServices` are the parts of a device-mapper that all of its targets use."""

    lower: LowerDevices
    pools: PoolObjects
    trace: WriteTrace
    activity: ActivityLog


@dataclass(frozen=True, slots=True)
class TargetType:
    """A `TargetType` is the record of one kind of target; the registry lists one record per kind.

    Some properties depend on a target's table: its requests (discards, write-zeroes, messages) and its
    devices. The target itself has those.
    """

    target: type[Target]
    """The class of the targets; its ``kind`` is the name in tables."""

    version: tuple[int, int, int]
    """The version that ``dmsetup targets`` prints, that of Linux 6.1."""

    build: Callable[[TableLine, TableOwner, TargetServices], Awaitable[Target]]
    """The function parses a line's arguments and opens the devices. Its errors come in the kernel's order."""

    singleton: bool = False
    """The target must be alone in its table (DM_TARGET_SINGLETON)."""

    always_writable: bool = False
    """No read-only table may have the target (DM_TARGET_ALWAYS_WRITEABLE)."""

    immutable: bool = False
    """No other type may replace the target in a live device (DM_TARGET_IMMUTABLE)."""

    wildcard: bool = False
    """The target may replace even an immutable type, as a forced removal does (DM_TARGET_WILDCARD)."""

    shows_pool: bool = False
    """The device is the pool's own: it has the pool's events, and its removal commits."""

    @property
    def name(self) -> str:
        """Return the type's name in tables."""
        return self.target.kind

"""Discards a device that is about to go where that is due, and says what became of it.

containerd ``DeactivateDevice`` (``plugins/snapshots/devmapper/pool_device.go``) discards before every
try to remove the device, skips it without an error while the device is open, and gives up the removal
if it fails.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import DeviceMapperError, ThinsimError
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.errors import SnapshotterError
from thinsim.snapshotter.events import DeviceEventKind, DiscardSkipped
from thinsim.snapshotter.host import SnapshotHost
from thinsim.units import Bytes


class DiscardPutOffError(SnapshotterError):
    """The device is in use, and it must not go without its discard: to be tried again later."""


@dataclass(frozen=True, slots=True)
class DiscardPolicy:
    """Which devices are discarded, and how; each field is explained in Config."""

    active: bool = False
    committed: bool = False
    inactive: bool = False
    later: bool = False
    unforced: bool = False
    step: Bytes | None = None

    @classmethod
    def of(cls, config: Config) -> "DiscardPolicy":
        """Return what *config* says. InvalidValueError for a step that is no size."""
        return cls(
            active=config.discard_blocks,
            committed=config.discard_committed,
            inactive=config.discard_inactive,
            later=config.discard_later,
            unforced=config.remove_unforced,
            step=config.discard_step_bytes,
        )

    @property
    def at_all(self) -> bool:
        """Whether any device is ever discarded."""
        return self.active or self.committed

    def wants_activation(self, *, committed: bool) -> bool:
        """Whether a device that is not active is activated for its discard."""
        return self.committed if committed else self.active and self.inactive

    def reason_against(self, *, loaded: bool, committed: bool) -> DiscardSkipped | None:
        """Return why a device goes without a discard; None if it is discarded."""
        if self.wants_activation(committed=committed) or (self.active and loaded):
            return None
        if not self.active:
            return DiscardSkipped.OFF
        return DiscardSkipped.NOT_ACTIVE if committed else DiscardSkipped.NOT_ACTIVE_UNCOMMITTED


class Discarding:
    """The outcome over all tries; *reason* is why it is not due at all, if it is not."""

    def __init__(self, reason: DiscardSkipped | None, policy: DiscardPolicy) -> None:
        self._due = reason is None
        self._done = False
        self._skipped = reason
        self._policy = policy

    async def run(
        self, dm: DeviceMapper, host: SnapshotHost, name: str, table: str, begin: Callable[[str], None]
    ) -> None:
        """Discard device *name* if that is due and nobody has it open; the host's error if it fails.

        *table* is the device's own, should it have another; *begin* records that its content goes.
        EBUSY where it must not be skipped.
        """
        if not self._due or (self._done and self._policy.unforced):
            return
        if (await dm.info(name)).open_count != 0:
            self._skipped = DiscardSkipped.BUSY
            if self._policy.later:
                raise DeviceMapperError(errno.EBUSY, f"device {name} is open and not discarded yet")
            return
        try:
            if self._policy.unforced:
                await give_table_back(dm, name, table)
            begin(name)
            await host.discard(dm.path(name), self._policy.step)
        except ThinsimError:
            self._skipped = DiscardSkipped.FAILED
            raise
        self._done = True

    @property
    def waits(self) -> bool:
        """Whether the device was open when it was due, and must not go without it."""
        return self._policy.later and not self._done and self._skipped is DiscardSkipped.BUSY

    @property
    def event(self) -> tuple[DeviceEventKind, str]:
        """Kind and detail of what happened; a discard that an earlier try carried out counts."""
        if self._done or self._skipped is None:
            return DeviceEventKind.DISCARDED, ""
        return DeviceEventKind.DISCARD_SKIPPED, self._skipped

    @property
    def took_place(self) -> bool:
        """Whether one was carried out or failed: worth telling even if the device then stays."""
        return self._done or self._skipped is DiscardSkipped.FAILED


async def give_table_back(dm: DeviceMapper, name: str, table: str) -> None:
    """Load *table* again where a forced removal that then failed has left the error target."""
    live = (await dm.table(name)).split()
    if len(live) > 2 and live[2] == "error":
        await dm.load(name, table)
        await dm.resume(name)

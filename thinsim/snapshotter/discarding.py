"""`Discarding` discards a device before its removal and reports the outcome.

containerd's ``DeactivateDevice`` (``plugins/snapshots/devmapper/pool_device.go``) discards before every
try to remove the device. It skips the discard without an error while the device is open, and it does
not remove the device if the discard fails.
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
    """The device is in use and must not be removed without its discard; a later try may succeed."""


@dataclass(frozen=True, slots=True)
class DiscardPolicy:
    """A `DiscardPolicy` decides which devices are discarded, and how; `Config` explains each field."""

    active: bool = False
    committed: bool = False
    inactive: bool = False
    later: bool = False
    unforced: bool = False
    step: Bytes | None = None

    @classmethod
    def of(cls, config: Config) -> "DiscardPolicy":
        """Return the policy of *config*. Raise InvalidValueError if its discard_step is not a size."""
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
        """Return whether the policy discards any device."""
        return self.active or self.committed

    def wants_activation(self, *, committed: bool) -> bool:
        """Return whether an inactive device is activated for its discard."""
        return self.committed if committed else self.active and self.inactive

    def reason_against(self, *, loaded: bool, committed: bool) -> DiscardSkipped | None:
        """Return the reason why a device is removed without a discard, or None if it is discarded."""
        if self.wants_activation(committed=committed) or (self.active and loaded):
            return None
        if not self.active:
            return DiscardSkipped.OFF
        return DiscardSkipped.NOT_ACTIVE if committed else DiscardSkipped.NOT_ACTIVE_UNCOMMITTED


class Discarding:
    """A `Discarding` keeps the outcome of one device's discard over all tries to remove it.

    *reason* is None if the discard is due, else the reason why it is not.
    """

    def __init__(self, reason: DiscardSkipped | None, policy: DiscardPolicy) -> None:
        self._due = reason is None
        self._done = False
        self._skipped = reason
        self._policy = policy

    async def run(
        self, dm: DeviceMapper, host: SnapshotHost, name: str, table: str, begin: Callable[[str], None]
    ) -> None:
        """Discard device *name* if that is due and no process has it open.

        *table* is the device's thin table, loaded again if an error table has replaced it. *begin* records
        that the discard begins. Raise the host's error if the discard fails, DeviceMapperError with EBUSY
        if the device is open and the policy does not allow to skip the discard.
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
                await reload_table(dm, name, table)
            begin(name)
            await host.discard(dm.path(name), self._policy.step)
        except ThinsimError:
            self._skipped = DiscardSkipped.FAILED
            raise
        self._done = True

    @property
    def waits(self) -> bool:
        """Return whether the device was open and must not be removed before it is discarded."""
        return self._policy.later and not self._done and self._skipped is DiscardSkipped.BUSY

    @property
    def event(self) -> tuple[DeviceEventKind, str]:
        """Return the kind and the detail of the event to report. A discard by an earlier try counts."""
        if self._done or self._skipped is None:
            return DeviceEventKind.DISCARDED, ""
        return DeviceEventKind.DISCARD_SKIPPED, self._skipped

    @property
    def took_place(self) -> bool:
        """Return whether a discard succeeded or failed: reported even if the device is not removed."""
        return self._done or self._skipped is DiscardSkipped.FAILED


async def reload_table(dm: DeviceMapper, name: str, table: str) -> None:
    """Load *table* again if a forced removal has failed and left the error target."""
    live = (await dm.table(name)).split()
    if len(live) > 2 and live[2] == "error":
        await dm.load(name, table)
        await dm.resume(name)

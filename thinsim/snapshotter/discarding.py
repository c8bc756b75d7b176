"""The discard of one device that is about to go: when it is due, and what became of it.

containerd ``DeactivateDevice`` (``plugins/snapshots/devmapper/pool_device.go``) discards before every
try to remove the device, skips it without an error while the device is open, and gives up the removal
if it fails.
"""

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import ThinsimError
from thinsim.snapshotter.events import DeviceEventKind, DiscardSkipped
from thinsim.snapshotter.host import SnapshotHost


class Discarding:
    """The outcome over all tries; *reason* is why it is not due at all, if it is not."""

    def __init__(self, reason: DiscardSkipped | None) -> None:
        self._due = reason is None
        self._done = False
        self._skipped = reason

    async def run(self, dm: DeviceMapper, host: SnapshotHost, name: str) -> None:
        """Discard device *name* if that is due and nobody has it open; the host's error if it fails."""
        if not self._due:
            return
        if (await dm.info(name)).open_count != 0:
            self._skipped = DiscardSkipped.BUSY
            return
        try:
            await host.discard(dm.path(name))
        except ThinsimError:
            self._skipped = DiscardSkipped.FAILED
            raise
        self._done = True

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

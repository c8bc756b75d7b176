"""`CountCommands` answers the control commands that count since the last reset, or since the mount."""

import errno
import time

from fuse_backing.control import Arguments
from fuse_backing.errors import ControlError
from fuse_backing.events import Totals
from fuse_backing.ledger import Ledger
from fuse_backing.resets import ResetPoint
from fuse_backing.shortcut import Shortcut
from fuse_backing.store_client import StoreCounts


class CountCommands:
    """A `CountCommands` has the last reset of a mount that began at *started*, in seconds since the epoch."""

    def __init__(self, ledger: Ledger, shortcut: Shortcut, started: float) -> None:
        self._ledger = ledger
        self._shortcut = shortcut
        self._mount = self._reset = ResetPoint(started)

    async def statistics(self, arguments: Arguments) -> object:
        """Return the sums over the events."""
        point = self._since(arguments)
        files = point.files_since(self._ledger.totals_by_file)
        # Not the ledger's own totals: an event between two readings would be in one of them only.
        return StoreCounts(point.moment, time.time(), sum(files.values(), Totals()), files).to_json()

    async def latencies(self, arguments: Arguments) -> object:
        """Return the latencies of each operation."""
        point = self._since(arguments)
        found, longest = self._shortcut.latencies()
        if point is not self._mount:
            found = point.latencies_since(found, longest)
        operations = {name: each.to_json() for name, each in found.items()}
        return {"since": point.moment, "read": time.time(), "operations": operations}

    async def reset(self, arguments: Arguments) -> object:
        """Count from now on; return this moment."""
        latencies = self._shortcut.latencies()[0] if self._shortcut.measures_latencies else {}
        self._shortcut.restart_longest()
        self._reset = ResetPoint(time.time(), self._ledger.totals_by_file, latencies)
        return self._reset.moment

    def _since(self, arguments: Arguments) -> ResetPoint:
        since = arguments.get("since", "reset")
        if since not in ("reset", "mount"):
            raise ControlError(f"'since' must be reset or mount, not {since!r}", errno.EINVAL)
        return self._reset if since == "reset" else self._mount

"""Makes a block history of what containerd wrote, by device, since its layers come one after the other.

Played again, with ``--history``, the acts are those of thinsim's own core, which makes the same devices
in the same order (``thinsim.workload.block_history``): all that a layer's device was written, mkfs with the
first, is the layer's act.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from thinsim.dm.activity import Activity
from thinsim.dm.write_trace import TracedWrite
from thinsim.workload.block_history import BlockHistory, TracedDeviceMapper


class RecordedActivity:
    """Takes what was written to thin devices whenever their activity is taken."""

    def __init__(
        self,
        take_activity: Callable[[], Awaitable[tuple[Activity, ...]]],
        dm: TracedDeviceMapper,
        pool: str,
    ) -> None:
        self._take_activity = take_activity
        self._dm = dm
        self._prefix = f"{pool}-"
        self._written: dict[str, list[TracedWrite]] = {}

    async def take(self) -> tuple[Activity, ...]:
        """Return what was done to thin devices since the last call; keep what was written."""
        for write in await self._dm.take_trace():
            # What is discarded is the snapshotter's decision, not part of the history.
            if write.operation == "write":
                device = write.device.removeprefix(self._prefix)
                self._written.setdefault(device, []).append(replace(write, device=device))
        return await self._take_activity()

    def fill(self, history: BlockHistory) -> None:
        """Add the acts to *history*: its layers' devices by their first write, then the container's."""
        *layers, container = self._written
        assert len(layers) == history.layers, "a device a layer and the container's"
        history.acts[f"mkfs {layers[0]}"] = []
        for act, device in [*(("unpack", layer) for layer in layers), ("container", container)]:
            history.acts[f"lost+found {device}"] = []
            history.acts[f"{act} {device}"] = self._written[device]

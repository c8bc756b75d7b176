"""`RecordedActivity` makes a block history from the writes of containerd.

containerd unpacks one layer after the other, so the writes to a device are one act. The writes of mkfs belong
to the act of the first layer. thinsim's own core makes the same devices in the same order, so ``--history``
can play the acts again (``thinsim.workload.block_history``).
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from thinsim.dm.activity import Activity
from thinsim.dm.write_trace import TracedWrite
from thinsim.workload.block_history import BlockHistory, TracedDeviceMapper


class RecordedActivity:
    """A `RecordedActivity` collects the writes to thin devices whenever their activity is taken."""

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
        """Return the activity of thin devices since the last call, and keep their writes."""
        for write in await self._dm.take_trace():
            # The snapshotter decides on discards, so they are not part of the history.
            if write.operation == "write":
                device = write.device.removeprefix(self._prefix)
                self._written.setdefault(device, []).append(replace(write, device=device))
        return await self._take_activity()

    def fill(self, history: BlockHistory) -> None:
        """Add the acts to *history*: the devices of the layers by their first write, then the container's."""
        *layers, container = self._written
        assert len(layers) == history.layers, "one device per layer, and the container's"
        history.acts[f"mkfs {layers[0]}"] = []
        for act, device in [*(("unpack", layer) for layer in layers), ("container", container)]:
            history.acts[f"lost+found {device}"] = []
            history.acts[f"{act} {device}"] = self._written[device]

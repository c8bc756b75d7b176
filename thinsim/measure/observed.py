"""`ObservedDevices` infers a snapshotter's reasons from its commands to thin devices. Pure.

containerd does not report why it deleted a device without a discard, but its dmsetup and blkdiscard calls
show it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from thinsim.dm.activity import Activity, ActivityKind
from thinsim.errors import InvariantError
from thinsim.snapshotter.events import DeviceEvent, DeviceEventKind, DiscardSkipped


@dataclass(slots=True)
class _Device:
    name: str
    active: bool = False
    discarded: bool = False
    active_at_start: bool = False


class ObservedDevices:
    """`ObservedDevices` follows the thin devices of one *pool*; ``POOL-snap-1`` is named ``snap-1``."""

    def __init__(self, pool: str, *, discard_blocks: bool) -> None:
        self._prefix = f"{pool}-"
        self._discard_blocks = discard_blocks
        self._devices: dict[int, _Device] = {}

    def step(self, activities: Iterable[Activity]) -> Sequence[DeviceEvent]:
        """Return the events of one step. A snapshot has the name of its device."""
        for device in self._devices.values():
            device.active_at_start = device.active
        events: list[DeviceEvent] = []
        for activity in activities:
            if activity.act is ActivityKind.MESSAGE:
                self._message(activity, events)
                continue
            name = activity.device.removeprefix(self._prefix)
            device = self._devices.setdefault(activity.thin_id, _Device(name))
            device.name = name
            if activity.act is ActivityKind.ACTIVATED:
                device.active, device.discarded = True, False
            elif activity.act is ActivityKind.DISCARDED:
                device.discarded = True
            else:
                device.active = False
                events.append(_event(DeviceEventKind.DEACTIVATED, device, activity.thin_id))
        return events

    def _message(self, activity: Activity, events: list[DeviceEvent]) -> None:
        words = activity.text.split()
        if words[0].lower() != "delete":
            return
        thin_id = int(words[1])
        device = self._devices.pop(thin_id, None)
        if device is None:
            raise InvariantError(
                f"thin {thin_id} was deleted, but no device with this thin id was ever active"
            )
        if device.discarded:
            events.append(_event(DeviceEventKind.DISCARDED, device, thin_id))
        else:
            events.append(_event(DeviceEventKind.DISCARD_SKIPPED, device, thin_id, self._why(device)))
        events.append(_event(DeviceEventKind.DELETED, device, thin_id))

    def _why(self, device: _Device) -> str:
        if not self._discard_blocks:
            return DiscardSkipped.OFF
        # The device was active until this removal and was not discarded: containerd found it busy.
        return DiscardSkipped.BUSY if device.active_at_start else DiscardSkipped.NOT_ACTIVE


def _event(kind: DeviceEventKind, device: _Device, thin_id: int, detail: str = "") -> DeviceEvent:
    return DeviceEvent(kind, device.name, device.name, thin_id, detail)

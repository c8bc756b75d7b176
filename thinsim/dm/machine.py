"""Which device-mapper a long-lived program stands on."""

from pathlib import Path

from thinsim.dm.emulated import EmulatedDeviceMapper
from thinsim.dm.interface import DeviceMapper
from thinsim.dm.kernel import KernelDeviceMapper
from thinsim.dm.standing.places import Places, kernel_has_device_mapper
from thinsim.dm.standing.start import ensure_running


def device_mapper_of_this_machine(control: Path | None = None) -> DeviceMapper:
    """Return the emulated device-mapper that listens on *control*; else the kernel's, where it has one.

    Where it has none, the standing one, started.
    """
    if control is not None:
        return EmulatedDeviceMapper(control)
    if kernel_has_device_mapper():
        return KernelDeviceMapper()
    places = Places.of_this_user()
    ensure_running(places)
    return EmulatedDeviceMapper(places.verbs)

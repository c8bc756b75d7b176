"""Which device-mapper a long-lived program stands on.

The one place to extend where the kernel's own can be driven.
"""

from pathlib import Path

from thinsim.dm.emulated import EmulatedDeviceMapper
from thinsim.dm.interface import DeviceMapper
from thinsim.dm.standing.places import Places, kernel_has_device_mapper
from thinsim.dm.standing.start import ensure_running
from thinsim.errors import EnvironmentLacksError


def device_mapper_of_this_machine(control: Path | None = None) -> DeviceMapper:
    """Return the emulated device-mapper that listens on *control*, or else the standing one, started.

    EnvironmentLacksError without *control* where the kernel has a device-mapper: pools would be looked for
    in the wrong one.
    """
    if control is not None:
        return EmulatedDeviceMapper(control)
    places = Places.of_this_user()
    if kernel_has_device_mapper():
        raise EnvironmentLacksError(
            "this kernel has a device-mapper of its own, which cannot be served yet; for a pool of the "
            f"emulated one (thinsim pool create --beside-kernel): --device-mapper {places.verbs}"
        )
    ensure_running(places)
    return EmulatedDeviceMapper(places.verbs)

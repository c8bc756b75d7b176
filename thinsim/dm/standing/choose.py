"""Chooses the device-mapper that a long-lived program stands on."""

from pathlib import Path

from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.dm.daemon.registry import Registry
from thinsim.dm.interface import DeviceMapper
from thinsim.dm.standing.places import Places
from thinsim.dm.standing.start import answers, ensure_running
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.dmsetup import kernel_has_device_mapper


def device_mapper_of_this_machine(pool: str, control: Path | None = None) -> DeviceMapper:
    """Return the emulated device-mapper that listens on *control*; else the kernel's, where it has one.

    Where it has none, the standing one; started, if one before it left devices to be found again.
    EnvironmentLacksError, with the fix, if there are none: then there is no *pool* either.
    """
    if control is not None:
        return EmulatedDeviceMapper(control)
    if kernel_has_device_mapper():
        return KernelDeviceMapper()
    places = Places.of_this_user()
    if not answers(places) and not Registry(places.registry).load():
        raise EnvironmentLacksError(
            f"thin pool {pool!r} does not exist: no device-mapper runs here; create it first: "
            f"thinsim pool create {pool}"
        )
    ensure_running(places)
    return EmulatedDeviceMapper(places.verbs)

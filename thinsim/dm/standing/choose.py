"""`device_mapper_of_this_machine` chooses the device-mapper for a long-lived program."""

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
    """Return the emulated device-mapper at *control*; without it, the kernel's or the machine's emulated one.

    The kernel's is taken if the kernel has one. Otherwise the emulated one is started, if an earlier one left
    devices to restore. EnvironmentLacksError, with the fix, if it left none: then *pool* does not exist
    either.
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

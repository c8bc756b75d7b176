"""Whose device-mapper a standing pool is on: the kernel's own, or the emulated one of thinsim."""

from pathlib import Path

from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.dm.interface import DeviceMapper
from thinsim.dm.standing.places import Places
from thinsim.dm.standing.start import ensure_running
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.dmsetup import kernel_has_device_mapper
from thinsim.rig.probes import choose_rig as check_rig
from thinsim.rig.probes import probe_machine

KERNEL, EMULATED = "kernel", "emulated"
AUTO = "auto"
RIGS = (EMULATED, KERNEL)


def choose_rig(wanted: str, directory: Path, *, beside_kernel: bool = False) -> str:
    """Return the rig for a new pool in *directory*: *wanted*, or with ``auto`` the kernel's if there is one.

    EnvironmentLacksError names what it lacks, each with its fix; and where the kernel has a
    device-mapper the emulated one is refused unless *beside_kernel* (``auto`` takes it then): names in
    /dev/mapper are one and the same.
    """
    in_kernel = kernel_has_device_mapper()
    if wanted == AUTO:
        wanted = KERNEL if in_kernel and not beside_kernel else EMULATED
    if wanted == EMULATED and in_kernel and not beside_kernel:
        raise EnvironmentLacksError(
            "this kernel has a device-mapper of its own (--rig kernel); the emulated one beside it: "
            "--beside-kernel"
        )
    there = next(path for path in (directory, *directory.absolute().parents) if path.is_dir())
    return check_rig(wanted, probe_machine(there)).rig


def device_mapper(rig: str) -> DeviceMapper:
    """Return the device-mapper of *rig*; the emulated one is started if it isn't running.

    EnvironmentLacksError where the kernel has none (any more: after a boot without its module).
    """
    if rig == KERNEL:
        return KernelDeviceMapper()
    places = Places.of_this_user()
    ensure_running(places)
    return EmulatedDeviceMapper(places.verbs)

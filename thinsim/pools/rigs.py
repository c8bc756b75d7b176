"""Picks the device-mapper that a lasting pool is on: the kernel's own, or the emulated one."""

from pathlib import Path

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.dmsetup import kernel_has_device_mapper
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import AUTO, LASTING, choose_rig, find_rig, probe_machine


def choose_lasting_rig(wanted: str, directory: Path, *, beside_kernel: bool = False) -> RigRecord:
    """Return the rig for a new pool in *directory*: *wanted*, or with ``auto`` the kernel's if there is one.

    EnvironmentLacksError names what it lacks, each with its fix; and where the kernel has a
    device-mapper the emulated one is refused unless *beside_kernel* (``auto`` takes it then): names in
    /dev/mapper are one and the same.
    """
    kernel_has_one = kernel_has_device_mapper()
    if wanted == AUTO:
        in_kernel = kernel_has_one and not beside_kernel
        chosen = next(rig for rig in LASTING if rig.in_kernel == in_kernel)
    else:
        chosen = find_rig(wanted, LASTING)
    if not chosen.in_kernel and kernel_has_one and not beside_kernel:
        raise EnvironmentLacksError(
            "this kernel has a device-mapper of its own (--rig kernel); the emulated one beside it: "
            "--beside-kernel"
        )
    there = next(path for path in (directory, *directory.absolute().parents) if path.is_dir())
    return choose_rig(chosen.name, probe_machine(there)).rig


def device_mapper(rig: str) -> DeviceMapper:
    """Return the device-mapper of the rig of that name; the emulated one is started if it isn't running.

    EnvironmentLacksError where the kernel has none (any more: after a boot without its module).
    """
    opened = find_rig(rig, LASTING).lasting_device_mapper
    assert opened is not None, "that is what makes a rig's pools last"
    return opened()

"""A lasting pool runs on the kernel's device-mapper or on the emulated one; this module chooses."""

from pathlib import Path

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.dmsetup import kernel_has_device_mapper
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import AUTO, LASTING, choose_rig, find_rig, probe_machine


def choose_lasting_rig(wanted: str, directory: Path, *, beside_kernel: bool = False) -> RigRecord:
    """Return the rig for a new pool in *directory*.

    That is *wanted*. With ``auto`` it is the kernel's rig where the kernel has a device-mapper. There the
    emulated one is refused unless *beside_kernel* (``auto`` then chooses it), because both use the same names
    in /dev/mapper. EnvironmentLacksError names each thing that the machine lacks, with its fix.
    """
    kernel_has_one = kernel_has_device_mapper()
    if wanted == AUTO:
        in_kernel = kernel_has_one and not beside_kernel
        chosen = next(rig for rig in LASTING if rig.in_kernel == in_kernel)
    else:
        chosen = find_rig(wanted, LASTING)
    if not chosen.in_kernel and kernel_has_one and not beside_kernel:
        raise EnvironmentLacksError(
            "the emulated device-mapper is refused because this kernel has its own, and both use the names "
            "in /dev/mapper (fix: --rig kernel, or --beside-kernel to run both)"
        )
    there = next(path for path in (directory, *directory.absolute().parents) if path.is_dir())
    return choose_rig(chosen.name, probe_machine(there)).rig


def device_mapper(rig: str) -> DeviceMapper:
    """Return the device-mapper of the rig named *rig*; start the emulated one if it is not running.

    EnvironmentLacksError where the kernel has none, for example after a boot without its module.
    """
    opened = find_rig(rig, LASTING).lasting_device_mapper
    assert opened is not None, "every rig of LASTING has a device-mapper that outlives the command"
    return opened()

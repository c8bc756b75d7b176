"""Each probe checks one thing that the rigs need of this machine, and names the fix for its lack."""

import importlib
import os
import tempfile
from pathlib import Path

from fuse_backing.fuse_uring import SWITCH, lack
from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from thinsim.block.loop_limits import kernel_clears_limits
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.dmsetup import kernel_has_device_mapper
from thinsim.machine.findings import Finding
from thinsim.machine.fuse_transport import VARIABLE
from thinsim.machine.programs import find_program, look_for
from thinsim.rig.host_file import exact_host_accounting
from thinsim.rig.record import Need
from thinsim.vm.kernels import MODULES, has_thin_pool


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding("root", True, "effective user id 0")
    return Finding("root", False, f"effective user id {os.geteuid()}", "run with sudo")


def _node(name: str, path: Path, fix: str) -> Finding:
    if not path.exists():
        return Finding(name, False, f"{path} is missing", fix)
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(name, False, f"no permission for {path}", "run with sudo")
    return Finding(name, True, str(path))


def _commands(*wanted: tuple[str, str]) -> list[Finding]:
    return [look_for(name, package) for name, package in wanted]


def _extension() -> Finding:
    name = "fuse_backing C extension"
    try:
        importlib.import_module(SESSION)
    except Exception as error:
        return Finding(name, False, f"does not load: {error}", "reinstall thinsim: make setup")
    return Finding(name, True, "loads")


def _ext4() -> Finding:
    # /proc/filesystems does not list a module that is not loaded yet; mounting loads it.
    known = "\text4\n" in Path("/proc/filesystems").read_text()
    if known or Path("/sys/module/ext4").exists() or find_program("modprobe"):
        return Finding("ext4", True, "in the kernel" if known else "as a module")
    return Finding("ext4", False, "not in this kernel", "use a kernel with CONFIG_EXT4_FS")


def _punch(directory: Path) -> Finding:
    name = f"hole punching in {directory}"
    try:
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(b"x" * 65536)
            probe.flush()
            fallocate(probe.fileno(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536)
    except OSError as error:
        return Finding(
            name,
            False,
            error.strerror or str(error),
            "name a directory on ext4, xfs, btrfs or tmpfs: --dir",
        )
    try:
        accounting = exact_host_accounting(directory)
    except EnvironmentLacksError as error:
        why, _, fix = str(error).removeprefix(f"{directory}: ").rpartition("; ")
        return Finding(name, False, why or fix, fix)
    detail = f"works on {accounting.kind}" + (f": {accounting.remark}" if accounting.remark else "")
    return Finding(name, True, detail)


def _requests_for_zeros() -> Finding:
    name = "requests for zeros"
    if kernel_clears_limits():
        return Finding(name, True, "emulated devices refuse them, as the kernel's devices do")
    return Finding(
        name,
        False,
        "the loop driver sends them as discards, so an emulated thin device writes zeros for both: a discard "
        "of part of a shared data block uses a new data block",
        "none needed: data is safe; block counts equal the kernel's on Linux 6.9 or later",
    )


def _fuse_over_io_uring() -> Finding:
    name = "FUSE over io_uring"
    lacking = lack()
    if lacking is None:
        return Finding(name, True, f"the kernel offers it; {VARIABLE}=on uses it")
    fix = f"none needed: it is off by default; {lacking.fix}"
    if SWITCH.exists():
        fix += f", or set {VARIABLE}=enable to turn the switch on for the moment of a mount"
    return Finding(name, False, lacking.reason, fix)


def _device_mapper() -> Finding:
    name = "kernel device-mapper"
    if kernel_has_device_mapper():
        return Finding(name, True, "in the kernel")
    if has_thin_pool(MODULES / os.uname().release):
        return Finding(name, False, "not loaded", "modprobe dm-thin-pool")
    fix = "--rig vm boots a kernel that has it (make setup-vm); --rig emulated does not need it"
    return Finding(name, False, "not in this kernel", fix)


SESSION = "fuse_backing.session"
"""The module that loads the C extension for FUSE."""

HOLE_PUNCHING = Need(lambda directory: [_punch(directory)])
"""The host can punch holes in files of the directory, and the freed bytes can be measured."""

DEVICES: tuple[Need, ...] = (
    Need(lambda directory: [_root()]),
    Need(
        lambda directory: [
            _node(
                "FUSE",
                Path("/dev/fuse"),
                "modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN",
            ),
            _node(
                "loop devices",
                Path("/dev/loop-control"),
                "modprobe loop; in a container: run it privileged",
            ),
            _extension(),
        ]
    ),
    Need(
        lambda directory: _commands(
            ("mkfs.ext4", "e2fsprogs"), ("mount", "mount"), ("umount", "mount"), ("blkdiscard", "util-linux")
        )
    ),
    Need(lambda directory: [_ext4()]),
    HOLE_PUNCHING,
    Need(lambda directory: [_requests_for_zeros()], required=False),
    Need(lambda directory: [_fuse_over_io_uring()], required=False),
)
"""The needs of a pool on loop devices on a FUSE store, with file systems on its thin devices."""

KERNEL_DEVICE_MAPPER: tuple[Need, ...] = (
    Need(lambda directory: [_device_mapper()]),
    Need(
        lambda directory: _commands(
            ("dmsetup", "dmsetup"),
            ("thin_dump", "thin-provisioning-tools"),
            ("thin_check", "thin-provisioning-tools"),
        )
    ),
)
"""The needs of the kernel's own dm-thin, including the programs that read its metadata."""

"""What this machine has and lacks, each lack with its fix; and which rig that allows."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from fuse_backing._syscalls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from thinsim.block.loop_limits import kernel_clears_limits
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.dmsetup import kernel_has_device_mapper
from thinsim.machine.findings import Finding
from thinsim.rig.host_file import host_accounting
from thinsim.vm.kernels import MODULES, has_thin_pool


def probe_machine(directory: Path) -> list[Finding]:
    """Look at everything a rig needs; *directory* is where the pool's files would be."""
    return [
        _root(),
        _node(
            "FUSE", Path("/dev/fuse"), "modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN"
        ),
        _node("loop devices", Path("/dev/loop-control"), "modprobe loop; in a container: run it privileged"),
        _module("fuse_backing C extension", import_session, "reinstall thinsim: make setup"),
        *(
            _command(name, package)
            for name, package in (
                ("mkfs.ext4", "e2fsprogs"),
                ("mount", "mount"),
                ("umount", "mount"),
                ("blkdiscard", "util-linux"),
            )
        ),
        _ext4(),
        _punch(directory),
        _requests_for_zeros(),
        _device_mapper(),
        *(
            replace(_command(name, package), needed_by=("kernel",))
            for name, package in (
                ("dmsetup", "dmsetup"),
                ("thin_dump", "thin-provisioning-tools"),
                ("thin_check", "thin-provisioning-tools"),
            )
        ),
    ]


@dataclass(frozen=True, slots=True)
class Choice:
    """The rig that will be used, and why not a better one."""

    rig: str
    why: str


RIGS = ("kernel", "emulated", "process", "vm")
_BY_ITSELF = ("kernel", "emulated", "process")
"""Best first. A guest is booted only when it is asked for: it takes minutes where KVM does not run."""

_WITH_FILES = ("kernel", "emulated", "process")


def choose_rig(wanted: str, findings: Iterable[Finding]) -> Choice:
    """Return the rig for *wanted*, ``auto`` or a name. EnvironmentLacksError names what that rig lacks."""
    lacks = {rig: [f for f in findings if not f.present and rig in f.needed_by] for rig in RIGS}
    if wanted != "auto":
        if lacks[wanted]:
            raise EnvironmentLacksError(
                f"rig {wanted!r} can't run here:\n"
                + "\n".join(f"  {f.name}: {f.detail}; {f.fix}" for f in lacks[wanted])
            )
        return Choice(wanted, "asked for")
    for rig in _BY_ITSELF:
        if not lacks[rig]:
            better = _BY_ITSELF[: _BY_ITSELF.index(rig)]
            passed_over = [f"{other} ({_summary(lacks[other])})" for other in better]
            return Choice(rig, f"passed over {', '.join(passed_over)}" if better else "the best there is")
    raise EnvironmentLacksError(
        "no rig can run here:\n" + "\n".join(f"  {rig}: {_summary(lacks[rig])}" for rig in _BY_ITSELF)
    )


def _summary(findings: Iterable[Finding]) -> str:
    return "; ".join(f"{f.name}: {f.detail}" for f in findings)


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


def _command(name: str, package: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, False, "not in PATH", f"apt-get install {package}")
    return Finding(name, True, path)


def _module(name: str, load: Callable[[], object], fix: str) -> Finding:
    try:
        load()
    except Exception as error:
        return Finding(name, False, f"does not load: {error}", fix)
    return Finding(name, True, "loads")


def import_session() -> object:
    """Load what serves a backing store and return it; whatever its import raises."""
    import fuse_backing.session  # noqa: PLC0415 (a probe: the failure is the finding)

    return fuse_backing.session


def _ext4() -> Finding:
    # A module that is not loaded yet does not stand in /proc/filesystems; mounting loads it.
    known = "\text4\n" in Path("/proc/filesystems").read_text()
    if known or Path("/sys/module/ext4").exists() or shutil.which("modprobe"):
        return Finding("ext4", True, "in the kernel" if known else "as a module")
    return Finding("ext4", False, "the kernel does not know it", "use a kernel with CONFIG_EXT4_FS")


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
            _WITH_FILES,
        )
    try:
        accounting = host_accounting(directory)
    except EnvironmentLacksError as error:
        why, _, fix = str(error).removeprefix(f"{directory}: ").rpartition("; ")
        return Finding(name, False, why or fix, fix, _WITH_FILES)
    detail = f"works on {accounting.kind}" + (f": {accounting.remark}" if accounting.remark else "")
    return Finding(name, True, detail, needed_by=_WITH_FILES)


def _requests_for_zeros() -> Finding:
    name = "requests for zeros"
    if kernel_clears_limits():
        return Finding(name, True, "an emulated device refuses them as the kernel's does", needed_by=())
    return Finding(
        name,
        False,
        "the loop driver sends them as discards, so an emulated thin device writes zeros for both: a discard "
        "of a part of a shared data block takes a block",
        "none needed: data is safe; block counts equal the kernel's with Linux 6.9 or later",
        needed_by=(),
    )


def _device_mapper() -> Finding:
    name, needed_by = "kernel device-mapper", ("kernel",)
    if kernel_has_device_mapper():
        return Finding(name, True, "in the kernel", needed_by=needed_by)
    if has_thin_pool(MODULES / os.uname().release):
        return Finding(name, False, "not loaded", "modprobe dm-thin-pool", needed_by)
    fix = "--rig vm boots a kernel that has it (make setup-vm); --rig emulated needs none"
    return Finding(name, False, "this kernel has none", fix, needed_by)

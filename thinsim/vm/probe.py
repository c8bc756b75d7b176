"""What a guest needs, each lack with its fix."""

import os
import shutil

from thinsim.errors import EnvironmentLacksError
from thinsim.rig.findings import Finding
from thinsim.vm.acceleration import AGAIN, KVM, remembered
from thinsim.vm.kernels import find_kernel
from thinsim.vm.tools import QEMU, virtme_ng

_VM = ("vm",)


def probe_vm() -> list[Finding]:
    """Look at everything a guest needs. Nothing is booted: whether KVM works is told if it is known."""
    return [_qemu(), _virtme_ng(), _kernel(), *(_command(*pair) for pair in _GUEST_TOOLS), _kvm()]


_GUEST_TOOLS = (
    ("dmsetup", "dmsetup"),
    ("thin_dump", "thin-provisioning-tools"),
    ("modprobe", "kmod"),
    ("mkfs.ext4", "e2fsprogs"),
)


def _qemu() -> Finding:
    path = shutil.which(QEMU)
    if path is None:
        return Finding("qemu", False, f"{QEMU} is not in PATH", "make setup-vm", _VM)
    return Finding("qemu", True, path, needed_by=_VM)


def _virtme_ng() -> Finding:
    try:
        return Finding("virtme-ng", True, str(virtme_ng()), needed_by=_VM)
    except EnvironmentLacksError:
        return Finding("virtme-ng", False, "not installed", "make setup-vm", _VM)


def _kernel() -> Finding:
    try:
        kernel = find_kernel(None)
    except EnvironmentLacksError:
        return Finding("guest kernel", False, "none in /boot with dm-thin-pool modules", "make setup-vm", _VM)
    if not os.access(kernel.image, os.R_OK):
        return Finding("guest kernel", False, f"no permission for {kernel.image}", "run with sudo", _VM)
    return Finding("guest kernel", True, str(kernel.image), needed_by=_VM)


def _command(name: str, package: str) -> Finding:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        return Finding(f"{name} (in the guest)", False, "not in PATH", f"apt-get install {package}", _VM)
    return Finding(f"{name} (in the guest)", True, path, needed_by=_VM)


def _kvm() -> Finding:
    try:
        known = remembered(find_kernel(None))
    except EnvironmentLacksError:
        known = None
    if known is None:
        if not KVM.exists():
            return Finding("KVM", False, f"{KVM} is missing", "none needed: guests are emulated (TCG)", ())
        return Finding("KVM", False, f"{KVM} is there, not tried yet", "try it: thinsim vm probe", ())
    fix = "" if known.kvm else f"none needed: guests are emulated (TCG), about ten times slower; {AGAIN}"
    return Finding("KVM", known.kvm, known.why, fix, ())

"""`probe_guest` checks everything that a guest needs, and names the fix for each lack."""

import functools
import os
import re
import subprocess
import tempfile
from pathlib import Path

from thinsim.errors import EnvironmentLacksError
from thinsim.machine.findings import Finding, findings_in_words
from thinsim.machine.programs import find_program, look_for
from thinsim.units import Bytes, format_size
from thinsim.vm.acceleration import AGAIN, KVM, remembered
from thinsim.vm.busybox import find_busybox
from thinsim.vm.kernels import find_kernel
from thinsim.vm.modules import lacking_modules, module_folder, needs_zstd
from thinsim.vm.tools import (
    LEAST_VIRTME,
    QEMU,
    QEMU_PACKAGE,
    is_recent,
    virtme_ng,
    virtme_version,
)

_SETUP = "make setup-vm"
LEAST_MEMORY = Bytes(768 << 20)
"""Memory that must be free, in bytes: enough for a guest that does little. A guest may use up to 2 GiB."""

GUEST_TOOLS = (
    ("bash", "bash"),
    ("mount", "mount"),
    ("losetup", "mount"),
    ("dmsetup", "dmsetup"),
    ("thin_dump", "thin-provisioning-tools"),
    ("modprobe", "kmod"),
    ("mkfs.ext4", "e2fsprogs"),
)
"""Programs of this machine that a guest runs, each with the package that contains it."""


def probe_guest(release: str | None = None) -> list[Finding]:
    """Check everything that a guest with the kernel *release* needs; the default is the newest kernel.

    No guest is booted. Raises EnvironmentLacksError if *release* is not installed.
    """
    return [
        _qemu(),
        _virtme_ng(),
        _busybox(),
        *_kernel(release),
        *(_command(*pair) for pair in GUEST_TOOLS),
        _temporary_directory(),
        _memory(),
    ]


def check_guest(release: str | None = None) -> None:
    """Raise EnvironmentLacksError, with every lack and its fix, if no guest of *release* can run."""
    lacks = [finding for finding in probe_guest(release) if not finding.present]
    if lacks:
        raise EnvironmentLacksError(f"no guest can run here: {findings_in_words(lacks)}")


def _qemu() -> Finding:
    path = find_program(QEMU)
    fix = f"{_SETUP}, or apt-get install {QEMU_PACKAGE}"
    if path is None:
        return Finding("qemu", False, f"{QEMU} is not installed", fix)
    devices = _devices_of(path)
    if devices is None:
        return Finding("qemu", False, f"{path} does not run", fix)
    lacking = [name for name in ("virtio-9p-pci", "virtio-blk-pci") if name not in devices]
    if lacking:
        return Finding("qemu", False, f"{path} is built without {', '.join(lacking)}", fix)
    return Finding("qemu", True, path)


@functools.cache
def _devices_of(path: str) -> str | None:
    try:
        command = [path, "-device", "help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def _virtme_ng() -> Finding:
    try:
        command = virtme_ng()
    except EnvironmentLacksError:
        return Finding("virtme-ng", False, "not installed", _SETUP)
    found = virtme_version(command)
    least = ".".join(map(str, LEAST_VIRTME))
    if not is_recent(found):
        text = f"{command} has version {found or 'unknown'}; at least {least} is needed"
        return Finding("virtme-ng", False, text, _SETUP)
    # vng starts virtme-run by name.
    if not os.access(command.with_name("virtme-run"), os.X_OK) and find_program("virtme-run") is None:
        return Finding("virtme-ng", False, f"{command} exists, but virtme-run is missing", _SETUP)
    return Finding("virtme-ng", True, f"{command}, version {found}")


def _busybox() -> Finding:
    try:
        return Finding("busybox (static)", True, str(find_busybox()))
    except EnvironmentLacksError as error:
        detail, _, fix = str(error).rpartition(" (")
        return Finding("busybox (static)", False, detail, fix.rstrip(")"))


def _kernel(release: str | None) -> list[Finding]:
    try:
        kernel = find_kernel(release)
    except EnvironmentLacksError:
        if release is not None:
            raise
        text = "no kernel in /boot has dm-thin-pool modules"
        return [Finding("guest kernel", False, text, _SETUP)]
    if not os.access(kernel.image, os.R_OK):
        return [Finding("guest kernel", False, f"no permission for {kernel.image}", "run with sudo")]
    folder = module_folder(kernel)
    found = [Finding("guest kernel", True, str(kernel.image))]
    lacking = lacking_modules(folder)
    if lacking:
        text, fix = (
            f"{folder} lacks {', '.join(lacking)}",
            f"apt-get install --reinstall linux-image-{kernel.release}",
        )
        found.append(Finding("guest modules", False, text, fix))
    else:
        found.append(Finding("guest modules", True, str(folder)))
    if needs_zstd(folder):
        found.append(_command("zstd", "zstd", where="for the guest's modules"))
    return found


def _command(name: str, package: str, where: str = "in the guest") -> Finding:
    return look_for(name, package, title=f"{name} ({where})")


def _temporary_directory() -> Finding:
    name = "temporary directory"
    try:
        place = tempfile.gettempdir()
        with tempfile.TemporaryFile(dir=place):
            return Finding(name, True, place)
    except OSError as error:
        fix = "set TMPDIR to a writable directory"
        return Finding(name, False, f"not writable: {error.strerror or error}", fix)


def _memory() -> Finding:
    free = available_memory()
    text = f"{format_size(free)} available"
    if free >= LEAST_MEMORY:
        return Finding("memory", True, text)
    fix = f"free some memory: a guest needs {format_size(LEAST_MEMORY)}"
    return Finding("memory", False, text, fix)


def available_memory(root: Path = Path("/")) -> Bytes:
    """Return the bytes of memory that are available without swapping, within a container's limit."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", (root / "proc/meminfo").read_text(), re.MULTILINE)
    free = int(found[1]) << 10 if found else 0
    try:
        limit = (root / "sys/fs/cgroup/memory.max").read_text().strip()
        used = int((root / "sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return Bytes(free)
    return Bytes(min(free, max(0, int(limit) - used)) if limit.isdigit() else free)


def probe_kvm() -> Finding:
    """Return whether KVM works, if that is known. No guest needs KVM."""
    try:
        known = remembered(find_kernel(None))
    except EnvironmentLacksError:
        known = None
    if known is None:
        if not KVM.exists():
            return Finding("KVM", False, f"{KVM} is missing", "none needed: guests are emulated (TCG)")
        return Finding(
            "KVM",
            False,
            f"{KVM} exists, not tried yet",
            "thinsim vm probe tries it once nothing else is missing",
            (),
        )
    fix = "" if known.kvm else f"none needed: guests are emulated (TCG), about ten times slower; {AGAIN}"
    return Finding("KVM", known.kvm, known.why, fix)

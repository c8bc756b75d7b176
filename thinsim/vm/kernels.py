"""A `GuestKernel` is an image, usually in ``/boot``, that a guest can boot and that has dm-thin-pool."""

import re
from dataclasses import dataclass
from pathlib import Path

from thinsim.did_you_mean import unknown_name
from thinsim.errors import EnvironmentLacksError

BOOT = Path("/boot")
MODULES = Path("/lib/modules")

_IMAGE = "vmlinuz-"
_MODULE = "dm-thin-pool.ko"
INSTALL = "make setup-vm, or apt-get install linux-image-amd64"


@dataclass(frozen=True, slots=True)
class GuestKernel:
    """A `GuestKernel` is a bootable image and its release, the name of its folder in ``/lib/modules``."""

    image: Path
    release: str


def installed_kernels(boot: Path = BOOT, modules: Path = MODULES) -> list[GuestKernel]:
    """Return the kernels that have dm-thin-pool as a module or built in, newest release first."""
    found = [
        GuestKernel(image, image.name.removeprefix(_IMAGE))
        for image in boot.glob(f"{_IMAGE}*")
        if has_thin_pool(modules / image.name.removeprefix(_IMAGE))
    ]
    return sorted(found, key=lambda kernel: _order(kernel.release), reverse=True)


def find_kernel(wanted: str | None, boot: Path = BOOT, modules: Path = MODULES) -> GuestKernel:
    """Return the kernel *wanted*: a release, the path of an image, or None for the newest.

    An image of an unpacked package works as well: one with its modules in ``../lib/modules`` beside it.

    Raises EnvironmentLacksError, which lists the installed kernels or how to install one.
    """
    kernels = installed_kernels(boot, modules)
    for kernel in kernels:
        if wanted is None or wanted in (kernel.release, str(kernel.image)):
            return kernel
    if wanted is not None and Path(wanted).is_file():
        image = Path(wanted).resolve()
        release = image.name.removeprefix(_IMAGE)
        if has_thin_pool(image.parent.parent / "lib/modules" / release):
            return GuestKernel(image, release)
    if wanted is None:
        raise EnvironmentLacksError(f"{boot} has no kernel with dm-thin-pool modules ({INSTALL})")
    unknown = unknown_name("kernel with dm-thin-pool modules", wanted, [each.release for each in kernels])
    raise EnvironmentLacksError(unknown if kernels else f"{unknown} ({INSTALL})")


def has_thin_pool(folder: Path) -> bool:
    """Return whether the kernel with its modules in *folder* has dm-thin, as a module or built in."""
    for listing in ("modules.dep", "modules.builtin"):
        try:
            if f"/{_MODULE}" in (folder / listing).read_text():
                return True
        except OSError:
            continue
    return False


def _order(release: str) -> list[tuple[int, str]]:
    """Return a sort key by which 6.10 is newer than 6.9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", release)]

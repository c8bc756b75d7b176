"""`mounted_image` makes a file system in an image on a loop device, and mounts it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from thinsim.block import loop, loop_numbers

MIB = 1 << 20
EXT4 = ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0")
XFS = ("mkfs.xfs", "-q", "-f")
BTRFS = ("mkfs.btrfs", "-q", "-f")


@dataclass(frozen=True)
class MountedImage:
    """A `MountedImage` names a mountpoint, the loop device that is mounted there, and its image."""

    root: Path
    device: Path
    image: Path


def run(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def attached_image(directory: Path, size: int = 400 * MIB) -> Iterator[tuple[Path, Path]]:
    """Yield a loop device and its new image."""
    image = directory / "image"
    with image.open("xb") as file:
        file.truncate(size)
    # A number of its own: limits that somebody sets in sysfs stay with a number that others use later.
    attached = loop.attach(image, number=7000 + os.getpid() % 1000)
    try:
        yield attached.path, image
    finally:
        loop.detach(attached)
        loop_numbers.remove(attached.number)


@contextmanager
def mounted(device: Path, target: Path, make: tuple[str, ...] = EXT4, options: str = "rw") -> Iterator[Path]:
    run(*make, device)
    target.mkdir(exist_ok=True)
    run("mount", "-o", options, device, target)
    try:
        yield target
    finally:
        run("umount", target)


@contextmanager
def mounted_image(
    directory: Path, make: tuple[str, ...] = EXT4, options: str = "rw", size: int = 400 * MIB
) -> Iterator[MountedImage]:
    with (
        attached_image(directory, size) as (device, image),
        mounted(device, directory / "root", make, options) as root,
    ):
        yield MountedImage(root, device, image)

"""`host_file_system` makes a host file system for a test; `HostFileSystem` measures its space in use."""

import errno
import gzip
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fuse_backing.allocation import has_fiemap
from fuse_backing.system_calls import FALLOC_FL_ZERO_RANGE, fallocate
from thinsim.block import loop

MIB = 1 << 20
_DEADLINE = 60
_SIZE = 640 * MIB


@dataclass(frozen=True)
class HostKind:
    """A `HostKind` describes how to make a file system; without *make* it is a tmpfs."""

    make: tuple[str, ...] = ()
    """The mkfs command, to be followed by the path of the device."""
    options: str = ""
    """The options for mount(8)."""
    hint: str = ""
    """An extent size hint for all directories, in the form of xfs_io."""
    realtime: str = ""
    """The extent size of a realtime device, in bytes; empty for none."""
    overlay: bool = False
    """True if the directory is in an overlay on the file system."""


_EXT4 = ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0")
_XFS = ("mkfs.xfs", "-q", "-f")
_BTRFS = ("mkfs.btrfs", "-q", "-f")

KINDS = {
    "ext4": HostKind(_EXT4),
    "ext4 with blocks of 1 KiB": HostKind((*_EXT4, "-b", "1024")),
    "ext4 with clusters of 64 KiB": HostKind((*_EXT4, "-O", "bigalloc", "-C", "65536")),
    "ext4 with clusters of 1 MiB": HostKind((*_EXT4, "-O", "bigalloc", "-C", "1048576")),
    "ext4 without extents": HostKind((*_EXT4, "-O", "^extent,^64bit")),
    "ext4 without delayed allocation": HostKind(_EXT4, "nodelalloc"),
    "xfs": HostKind((*_XFS, "-m", "reflink=0")),
    "xfs with reflink": HostKind((*_XFS, "-m", "reflink=1")),
    "xfs with an extent size hint": HostKind((*_XFS, "-m", "reflink=1"), hint="1m"),
    "xfs realtime": HostKind((*_XFS, "-m", "reflink=0,rmapbt=0", "-d", "rtinherit=1"), realtime="65536"),
    "btrfs": HostKind(_BTRFS),
    "btrfs compressed": HostKind(_BTRFS, "compress-force=zstd"),
    "btrfs nodatacow": HostKind(_BTRFS, "nodatacow"),
    "tmpfs": HostKind(options="size=512m,huge=never"),
    "tmpfs with huge pages": HostKind(options="size=512m,huge=always"),
    "overlay on ext4": HostKind(_EXT4, overlay=True),
    "overlay on ext4 with clusters": HostKind((*_EXT4, "-O", "bigalloc", "-C", "65536"), overlay=True),
    "overlay on xfs": HostKind((*_XFS, "-m", "reflink=1"), overlay=True),
    "overlay on xfs with an extent size hint": HostKind(_XFS, hint="1m", overlay=True),
    "overlay on btrfs": HostKind(_BTRFS, overlay=True),
    "overlay on tmpfs": HostKind(options="size=512m,huge=never,nr_inodes=0", overlay=True),
}
CLONING = ("xfs with reflink", "btrfs", "btrfs compressed", "btrfs nodatacow")


@dataclass(frozen=True)
class HostFileSystem:
    """A `HostFileSystem` is mounted for a test."""

    kind: str
    root: Path
    """The mountpoint."""
    directory: Path
    """A directory in the file system, for a store."""

    @property
    def unit(self) -> int:
        """Return the smallest number of bytes that it allocates."""
        return 65536 if "64 KiB" in self.kind or self.kind[-8:] == "clusters" else 4096

    def used(self) -> int:
        """Return its own count of data bytes in use, when all is written back and the count is stable."""
        found = -1
        while found != (found := self._used_now()):
            time.sleep(0.02)
        return found

    def _used_now(self) -> int:
        _run("sync", "-f", str(self.root))
        if self.kind.startswith("btrfs"):
            lines = _run("btrfs", "filesystem", "df", "-b", str(self.root)).splitlines()
            [data] = [line for line in lines if line.startswith("Data")]
            return int(data.partition("used=")[2])
        found = os.statvfs(self.directory)  # counts the realtime device if the directory is on it
        return (found.f_blocks - found.f_bfree) * found.f_frsize


def has_extents(directory: Path) -> bool:
    """Return whether files in *directory* have FIEMAP and zero ranges. On tmpfs they have neither."""
    with tempfile.TemporaryFile(dir=directory) as file:
        if not has_fiemap(file.fileno()):
            return False
        try:
            fallocate(file.fileno(), FALLOC_FL_ZERO_RANGE, 0, MIB)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return False
    return True


def missing_for(kind: str) -> str | None:
    """Return what this machine lacks for a file system of *kind*, with the fix, or None."""
    if os.geteuid() != 0:
        return "needs root to mount"
    made = KINDS[kind].make
    if KINDS[kind].realtime and not _kernel_has("CONFIG_XFS_RT"):
        return "needs a kernel with CONFIG_XFS_RT, such as Debian's: thinsim vm run"
    package = {"mkfs.xfs": "xfsprogs", "mkfs.btrfs": "btrfs-progs", "mkfs.ext4": "e2fsprogs"}
    if made and shutil.which(made[0]) is None:
        return f"needs {made[0]}: apt-get install {package[made[0]]}"
    return None


def _kernel_has(option: str) -> bool:
    compressed, plain = Path("/proc/config.gz"), Path(f"/boot/config-{os.uname().release}")
    if compressed.exists():
        text = gzip.decompress(compressed.read_bytes()).decode()
    else:
        text = plain.read_text() if plain.exists() else ""
    return any(line in text.splitlines() for line in (f"{option}=y", f"{option}=m"))


def _attached(stack: ExitStack, image: Path) -> str:
    """Make a sparse image and attach it; *stack* removes both."""
    with image.open("xb") as file:
        file.truncate(_SIZE)
    stack.callback(image.unlink)
    device = _run("losetup", "--find", "--show", str(image)).strip()
    stack.callback(_detach, Path(device), image)
    return device


def _detach(device: Path, image: Path) -> None:
    """Detach the device. While another program has it open, the kernel waits until the last close."""
    _run("losetup", "--detach", str(device))
    deadline = time.monotonic() + _DEADLINE
    while loop.attached_devices().get(device, "").startswith(str(image)):
        assert time.monotonic() < deadline, f"{device} is still attached to {image}"
        time.sleep(0.01)


@contextmanager
def host_file_system(kind: str, base: Path, *, allocated: bool = False) -> Iterator[HostFileSystem]:
    """Make a file system of *kind* below *base*, an existing directory, and remove it at the end.

    Its image is sparse. With *allocated* it has all its blocks, so that no later write needs memory on tmpfs.
    """
    what, root = KINDS[kind], base / "host"
    root.mkdir()
    with ExitStack() as stack:
        if what.make:
            device, options, made_with = _attached(stack, base / "image"), what.options, what.make
            if what.realtime:
                options = f"rtdev={_attached(stack, base / 'realtime')}"
                made_with = (*made_with, "-r", f"{options},extsize={what.realtime}")
            _run(*made_with, device)
            _run("mount", *(("-o", options) if options else ()), device, str(root))
        else:
            _run("mount", "-t", "tmpfs", "-o", what.options, "thinsim-test", str(root))
        stack.callback(_run, "umount", str(root))
        if allocated:  # only now: mkfs discards
            with (base / "image").open("r+b") as image:
                os.posix_fallocate(image.fileno(), 0, _SIZE)
        if what.hint:  # the directories below inherit it
            _run("xfs_io", "-c", f"extsize {what.hint}", str(root))
        directory = root / "directory"
        directory.mkdir()
        if what.overlay:
            upper, directory = directory, base / "merged"
            for made in (root / "work", base / "lower", directory):
                made.mkdir()
            options = f"lowerdir={base / 'lower'},upperdir={upper},workdir={root / 'work'}"
            _run("mount", "-t", "overlay", "-o", options, "thinsim-test", str(directory))
            stack.callback(_run, "umount", str(directory))
        yield HostFileSystem(kind, root, directory)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout

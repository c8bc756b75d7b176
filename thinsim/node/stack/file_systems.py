"""These functions read the options of a mount, and find the obstacles for its discards."""

import re
from pathlib import Path

from fuse_backing.mounts import MountEntry

TRIMMABLE = frozenset(
    {
        *("bcachefs", "btrfs", "exfat", "ext3", "ext4", "f2fs", "gfs2", "jfs", "msdos", "nilfs2"),
        *("ntfs3", "ocfs2", "vfat", "xfs"),
    }
)
"""The file systems whose drivers answer FITRIM; ext3 is served by the driver of ext4."""

IN_MEMORY = frozenset({"devtmpfs", "hugetlbfs", "ramfs", "tmpfs"})
"""The file systems that keep their files in memory."""

REMOTE = frozenset({"9p", "afs", "ceph", "cifs", "nfs", "nfs4", "smb3", "virtiofs"})
"""The file systems whose files another machine keeps."""

OVERLAY = "overlay"

_DISCARD = re.compile(r"discard(=(?!off).*)?")
_ESCAPED = re.compile(r"\\(.)")


def options_of(mount: MountEntry) -> tuple[str, ...]:
    """Return the options of the mount, then those of the file system, each once."""
    return tuple(dict.fromkeys([*mount.options.split(","), *_split(mount.super_options)]))


def discards_at_once(options: tuple[str, ...]) -> bool:
    """Return whether the file system sends discards whenever it frees blocks."""
    return any(_DISCARD.fullmatch(option) for option in options)


def obstacle(fstype: str, options: tuple[str, ...]) -> str:
    """Return the reason why a file system on a device sends no discards; empty if it can send them."""
    if "ro" in options:
        return "it is mounted read-only"
    if fstype not in TRIMMABLE:
        return f"the driver of {fstype} sends no discards"
    return ""


def upper_directory(mount: MountEntry) -> Path | None:
    """Return the directory that takes the writes of an overlay; None for an overlay without one."""
    for option in _split(mount.super_options):
        name, _, value = option.partition("=")
        if name == "upperdir":
            return Path(_ESCAPED.sub(r"\1", value))
    return None


def _split(options: str) -> list[str]:
    r"""Return the options of a list in which a comma within a value is ``\,``."""
    return re.split(r"(?<!\\),", options)

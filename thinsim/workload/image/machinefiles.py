"""`read_files` lists files of this machine that any user may read, in an order fixed by the files.

Real programs, libraries and data make an image that compresses, aligns and fragments as real images do, so
thinsim need not ship or fetch one. Root and other users get the same files: only those that others may read,
below directories that others may enter.
"""

import os
import stat
import sysconfig
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST_FILE = 8 << 20
"""Size in bytes above which files are skipped: they make layers uneven, and a file is held in memory."""


@dataclass(frozen=True, slots=True)
class MachineFile:
    """A `MachineFile` is a file as it was read.

    *path* is relative to the root. *content* is None for a symlink to *link_target*.
    """

    path: str
    mode: int
    content: bytes | None
    link_target: str = ""


def default_sources() -> tuple[Path, ...]:
    """Return directories that every Linux system has: libraries, programs, Python modules, shared data."""
    multiarch = sysconfig.get_config_var("MULTIARCH")
    libraries = [Path("/usr/lib", str(multiarch))] if multiarch else []
    libraries += [*sorted(Path("/usr/lib").glob("*-linux-gnu*")), Path("/usr/lib64"), Path("/usr/lib")]
    library = next(directory for directory in [*libraries, Path("/usr/lib")] if directory.is_dir())
    candidates = [library.resolve(), *map(Path, ("/usr/bin", "/usr/lib/python3", "/usr/share"))]
    return tuple(dict.fromkeys(directory for directory in candidates if directory.is_dir()))


def read_files(sources: Sequence[Path], largest: int) -> Iterator[MachineFile]:
    """Yield the files below *sources*, one of each source in turn, each source in sorted order.

    These are regular files of up to *largest* bytes and relative symlinks. Files that vanish, that are not
    readable or whose names are not UTF-8 are skipped.
    """
    walks = deque(_walk(str(source.absolute())) for source in sources)
    seen = set()
    while walks:
        walk = walks.popleft()
        for path in walk:
            if path not in seen and (file := _read(path, largest)) is not None:
                seen.add(path)
                yield file
                walks.append(walk)
                break


def _walk(directory: str) -> Iterator[str]:
    try:
        if stat.S_IMODE(os.lstat(directory).st_mode) & 0o005 != 0o005:
            return
        with os.scandir(directory) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError:
        return
    for name, is_directory in found:
        path = f"{directory}/{name}"
        if is_directory:
            yield from _walk(path)
        else:
            yield path


def _read(path: str, largest: int) -> MachineFile | None:
    name = path.lstrip("/")
    try:
        name.encode()
        about = os.lstat(path)
        if stat.S_ISLNK(about.st_mode):
            target = os.readlink(path)  # noqa: PTH115 -- the unchanged text
            target.encode()
            return None if target.startswith("/") else MachineFile(name, 0o777, None, target)
        if not stat.S_ISREG(about.st_mode) or not about.st_mode & stat.S_IROTH or about.st_size > largest:
            return None
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            content = file.read(largest + 1)  # the size may have changed since lstat
    except (OSError, UnicodeEncodeError):
        return None
    return MachineFile(name, stat.S_IMODE(about.st_mode), content) if len(content) <= largest else None

"""`find_busybox` finds a static busybox for a guest's initramfs, with the commands that its init runs.

virtme-ng (``virtme/mkinitramfs.py``) copies only this program into the initramfs, no library and no loader.
By default virtme-ng takes the first busybox in PATH and runs ``file`` to find out whether it is static.
"""

import shutil
import signal
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from thinsim.errors import EnvironmentLacksError

INSTALL = "make setup-vm, or apt-get install busybox-static"
APPLETS = frozenset(
    {"sh", "mount", "umount", "switch_root", "sleep", "mkdir", "mknod", "insmod", "cp", "cat"}
)
"""Commands that the init of the initramfs runs."""

_NAMES = ("busybox-static", "busybox.static", "busybox")
PLACES = tuple(map(Path, ("/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin")))
_INTERPRETER = 3  # PT_INTERP: a program with one needs a loader
_SECONDS = 10


def find_busybox(places: Iterable[Path] = PLACES) -> Path:
    """Return the path of a busybox that suits an initramfs, from PATH or *places*.

    Raises EnvironmentLacksError, which lists why each busybox found is unsuitable and how to install one.
    """
    unfit: list[str] = []
    for path in _candidates(places):
        lack = _lack(path)
        if not lack:
            return path
        unfit.append(f"{path} {lack}")
    raise EnvironmentLacksError(f"{'; '.join(unfit) or 'no static busybox is installed'} ({INSTALL})")


def is_static(program: Path) -> bool:
    """Return whether *program* is an ELF file that needs no loader. Raises OSError if it can't be read."""
    with program.open("rb") as file:
        identity = file.read(16)
        if len(identity) < 16 or identity[:4] != b"\x7fELF":
            return False
        wide, order = identity[4] == 2, "<" if identity[5] == 1 else ">"
        header = struct.Struct(order + ("HHIQQQIHHH" if wide else "HHIIIIIHHH"))
        fields = header.unpack(file.read(header.size))
        offset, size, count = fields[4], fields[8], fields[9]
        for number in range(count):
            file.seek(offset + number * size)
            if struct.unpack(order + "I", file.read(4))[0] == _INTERPRETER:
                return False
    return True


def _candidates(places: Iterable[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for name in _NAMES:
        found = shutil.which(name)
        for path in (*((Path(found),) if found else ()), *(place / name for place in places)):
            if path.is_file() and path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _lack(path: Path) -> str:
    """Return why *path* does not suit an initramfs; an empty string if it does."""
    try:
        if not is_static(path):
            return "is not statically linked"
        done = subprocess.run(
            [path, "--list"], capture_output=True, text=True, check=False, timeout=_SECONDS, errors="replace"
        )
    except struct.error:
        return "is damaged: its ELF header is cut short"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run: {error.strerror if isinstance(error, OSError) else error}"
    if done.returncode < 0:
        return f"is damaged: it dies of {signal.Signals(-done.returncode).name}"
    lacking = sorted(APPLETS - set(done.stdout.split()))
    return f"has no {', '.join(lacking)}" if lacking else ""

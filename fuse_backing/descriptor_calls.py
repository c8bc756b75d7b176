"""These functions open a file below a descriptor, or give a path to one, without looking up its name again.

Each raises ``OSError`` with the kernel's errno. ``os`` lacks openat2(2).
"""

import ctypes
import os

_OPENAT2 = 437  # on every architecture; no libc of Debian 12 has a function for it
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def path_of(fd: int) -> str:
    """Return a path that leads to the file of *fd*, even after a rename or unlink."""
    return f"/proc/self/fd/{fd}"


def open_beneath(directory: int, path: bytes, flags: int) -> int:
    """Open *path* below *directory* without following any symbolic link or entering another file system.

    See openat2(2), Linux 5.6. EXDEV: a mountpoint is on the way.
    """
    resolve = _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    result = int(_libc.syscall(_OPENAT2, directory, path, ctypes.byref(how), size))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

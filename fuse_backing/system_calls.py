"""These functions make system calls that Python's ``os`` lacks, such as fallocate, fstatfs and mount.

Each raises ``OSError`` with the kernel's errno, and releases the GIL while it runs (by ctypes).
"""

import ctypes
import os

FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
FALLOC_FL_ZERO_RANGE = 0x10

MS_NOSUID = 2
MS_NODEV = 4
MNT_DETACH = 2

TMPFS_MAGIC = 0x01021994

_PR_SET_IO_FLUSHER = 57
_CLOSE_RANGE = 436  # on every architecture; Debian 11's libc has no function for it
_CLOSE_RANGE_UNSHARE = 2
_FIRST_OWN_FILE = 3  # after standard input, output and error


class _Statfs(ctypes.Structure):
    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_ubyte * 248))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.syncfs.argtypes = (ctypes.c_int,)
_libc.fstatfs.argtypes = (ctypes.c_int, ctypes.POINTER(_Statfs))
_libc.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_libc.mount.argtypes = (*[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Allocate, punch or zero *length* bytes at *offset*.

    See fallocate(2); *mode* is made of FALLOC_FL_*.
    """
    while True:
        try:
            return _checked(_libc.fallocate(fd, mode, offset, length))
        except InterruptedError:  # try again, as ``os`` does for its calls (PEP 475)
            continue


def syncfs(fd: int) -> None:
    """Write back the file system of *fd* alone, as the system call of this name does."""
    _checked(_libc.syncfs(fd))


def file_system_magic(fd: int) -> int:
    """Return ``f_type`` of the file system of *fd*: see statfs(2)."""
    found = _Statfs()
    _checked(_libc.fstatfs(fd, ctypes.byref(found)))
    return int(found.f_type) & 0xFFFFFFFF


def renameat2(directory: int, old: bytes, new_directory: int, new: bytes, flags: int) -> None:
    """Rename an entry of one directory to an entry of another; both directories are file descriptors.

    See renameat2(2); *flags* are RENAME_*.
    """
    _checked(_libc.renameat2(directory, old, new_directory, new, flags))


def mount(
    source: str, target: str | os.PathLike[str], fstype: str, flags: int = 0, options: str = ""
) -> None:
    """Mount a file system of the type *fstype* on *target*.

    See mount(2); *flags* are MS_*, *options* are the file system's own.
    """
    _checked(
        _libc.mount(os.fsencode(source), os.fsencode(target), fstype.encode(), flags, os.fsencode(options))
    )


def umount2(mountpoint: str | os.PathLike[str], flags: int = 0) -> None:
    """Unmount *mountpoint*.

    See umount2(2); *flags* are MNT_*.
    """
    _checked(_libc.umount2(os.fsencode(mountpoint), flags))


def become_io_flusher() -> bool:
    """Mark this thread as one that serves writeback: prctl(2), PR_SET_IO_FLUSHER (Linux 5.6).

    Memory allocation then starts no I/O that could wait for this server. Threads and processes started later
    inherit the mark. Return False if the kernel refuses (no CAP_SYS_RESOURCE) or does not know it.
    """
    return bool(_libc.prctl(_PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0)


def leave_the_files_of_the_process() -> bool:
    """Let this thread have descriptors of its own: standard input, output and error, and no others.

    See close_range(2), CLOSE_RANGE_UNSHARE (Linux 5.9). Return False if the kernel does not know it or a
    sandbox refuses it: then the thread keeps the descriptors of the process.
    """
    first, last = ctypes.c_uint(_FIRST_OWN_FILE), ctypes.c_uint(2**32 - 1)
    return bool(_libc.syscall(_CLOSE_RANGE, first, last, ctypes.c_uint(_CLOSE_RANGE_UNSHARE)) == 0)

"""These functions change, link or open a file by a descriptor, without looking up its name again.

Each raises ``OSError`` with the kernel's errno. ``os`` lacks these system calls, or their flags.
"""

import ctypes
import errno
import os

_AT_FDCWD = -100
_AT_SYMLINK_FOLLOW = 0x400
_AT_EMPTY_PATH = 0x1000
_UTIME_OMIT = (1 << 30) - 2

_OPENAT2 = 437  # on every architecture; no libc of Debian 12 has a function for it
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_MAX_HANDLE_SZ = 128


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _FileHandle(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint),
        ("kind", ctypes.c_int),
        ("content", ctypes.c_ubyte * _MAX_HANDLE_SZ),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fchownat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int)
_libc.linkat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
_libc.utimensat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_Timespec), ctypes.c_int)
_libc.setfsgid.argtypes = (ctypes.c_uint,)
_libc.name_to_handle_at.argtypes = (
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(_FileHandle),
    ctypes.POINTER(ctypes.c_int),
    ctypes.c_int,
)
_libc.open_by_handle_at.argtypes = (ctypes.c_int, ctypes.POINTER(_FileHandle), ctypes.c_int)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def path_of(fd: int) -> str:
    """Return a path that leads to the file of *fd*, even after a rename or unlink."""
    return f"/proc/self/fd/{fd}"


def open_beneath(directory: int, path: bytes, flags: int) -> int:
    """Open *path* below *directory* without following any symbolic link or entering another file system.

    See openat2(2), Linux 5.6. EXDEV: a mountpoint is on the way.
    """
    resolve = _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    result = _libc.syscall(_OPENAT2, directory, path, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
    return _checked(result)


def change_owner(fd: int, uid: int, gid: int) -> None:
    """Change the owner and the group of a file of any kind; -1 keeps one (fchownat)."""
    _checked(_libc.fchownat(fd, b"", uid & 0xFFFFFFFF, gid & 0xFFFFFFFF, _AT_EMPTY_PATH))


def set_times(fd: int, accessed: int | None, modified: int | None) -> None:
    """Set the times of a file of any kind, in nanoseconds since the epoch; None keeps one.

    See utimensat(2); AT_EMPTY_PATH came with Linux 5.8.
    """
    times = (_Timespec * 2)(*map(_timespec, (accessed, modified)))
    try:
        _checked(_libc.utimensat(fd, b"", times, _AT_EMPTY_PATH))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _checked(_libc.utimensat(_AT_FDCWD, path_of(fd).encode(), times, 0))


def link_file(fd: int, directory: int, name: bytes) -> None:
    """Make another name in *directory* for the file of *fd*: see linkat(2)."""
    try:
        _checked(_libc.linkat(fd, b"", directory, name, _AT_EMPTY_PATH))
    except FileNotFoundError:  # without CAP_DAC_READ_SEARCH, and for a file without a name
        _checked(_libc.linkat(_AT_FDCWD, path_of(fd).encode(), directory, name, _AT_SYMLINK_FOLLOW))


def set_file_group(gid: int) -> int:
    """Set the group of files that this thread creates; return the last one (setfsgid)."""
    return int(_libc.setfsgid(gid))


def handle_of(fd: int) -> bytes:
    """Return a handle of the file of *fd*, which names the file as long as it exists.

    Raises OSError, EOPNOTSUPP if the file system has no handles: name_to_handle_at(2).
    """
    handle, mount = _FileHandle(_MAX_HANDLE_SZ), ctypes.c_int()
    _checked(_libc.name_to_handle_at(fd, b"", ctypes.byref(handle), ctypes.byref(mount), _AT_EMPTY_PATH))
    return bytes([handle.kind & 0xFF]) + ctypes.string_at(handle.content, handle.size)


def open_handle(mount: int, handle: bytes) -> int:
    """Open the file of a handle with O_PATH; *mount* is any descriptor of its file system.

    See open_by_handle_at(2), which needs CAP_DAC_READ_SEARCH. ESTALE: the file does not exist any more.
    """
    content = handle[1:]
    wanted = _FileHandle(len(content), handle[0], (ctypes.c_ubyte * _MAX_HANDLE_SZ)(*content))
    return _checked(_libc.open_by_handle_at(mount, ctypes.byref(wanted), os.O_PATH | os.O_CLOEXEC))


def _timespec(time: int | None) -> _Timespec:
    if time is None:
        return _Timespec(0, _UTIME_OMIT)
    return _Timespec(*divmod(time, 1_000_000_000))

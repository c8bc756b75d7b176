"""`RandomOperations` draws the same random operations for several directories, to compare their results."""

import errno
import os
import random
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuse_backing.system_calls import renameat2
from tests.fuse_backing.backing_store import host_fallocate

NAMES = (b"a", b"b", b"c", "é".encode(), b"\xff\xfe", b"n\n", b"x" * 255)
TARGETS = (b"a", b"b/c", b".", b"missing", b"y" * 300)
MODES = (0o644, 0o600, 0o755, 0o2755, 0o4755, 0o2644, 0o1777, 0)
ATTRIBUTES = (b"user.a", b"user.b", b"trusted.t", b"user." + b"z" * 250, b"unknown.c")
FLAGS = (os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_TRUNC, os.O_RDWR | os.O_APPEND)
BLOCK = 4096
_SLOTS = 4

_Step = Callable[["OperatedDirectory"], object]


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return an access control list as linux/posix_acl_xattr.h defines it."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


_NOBODY = 0xFFFFFFFF
ACLS = (
    acl((1, 7, _NOBODY), (2, 6, 1), (4, 5, _NOBODY), (16, 6, _NOBODY), (32, 4, _NOBODY)),
    acl((1, 6, _NOBODY), (4, 6, _NOBODY), (32, 0, _NOBODY)),
    acl((1, 6, _NOBODY)),  # not valid
)


class OperatedDirectory:
    """An `OperatedDirectory` is a directory in which the operations are done, with its open files."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)
        self.slots: list[int] = [-1] * _SLOTS

    def at(self, path: bytes) -> bytes:
        return self.root + b"/" + path

    def fd(self, slot: int) -> int:
        if self.slots[slot] == -1:
            raise OSError(errno.EBADF, "not open")
        return self.slots[slot]

    def close_all(self) -> None:
        for slot, fd in enumerate(self.slots):
            if fd != -1:
                os.close(fd)
            self.slots[slot] = -1

    def outcome(self, step: _Step) -> object:
        """Do a step; return its result, or its errno."""
        try:
            return step(self)
        except OSError as error:
            return errno.errorcode[error.errno or 0]


def is_device(path: bytes) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def status(found: os.stat_result) -> tuple[int, ...]:
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return (found.st_mode, found.st_nlink, found.st_uid, found.st_gid, size, found.st_rdev)


def tree(root: Path) -> dict[bytes, object]:
    """Return everything that a directory shows of the files below it, by path."""
    found: dict[bytes, object] = {}
    waiting = [b""]
    base = os.fsencode(root)
    while waiting:
        directory = waiting.pop()
        for name in os.listdir(base + b"/" + directory):
            path = directory + b"/" + name if directory else name
            full = base + b"/" + path
            seen = os.lstat(full)
            content: object = None
            if stat.S_ISREG(seen.st_mode):
                with open(full, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(seen.st_mode):
                content = os.readlink(full)
            elif stat.S_ISDIR(seen.st_mode):
                waiting.append(path)
            attributes = {
                each: os.getxattr(full, each, follow_symlinks=False)
                for each in sorted(os.listxattr(full, follow_symlinks=False))
            }
            found[path] = (status(seen), content, attributes)
    return found


class RandomOperations:
    """A `RandomOperations` draws steps from a seed; a step does the same in each `OperatedDirectory`."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._kinds = [
            getattr(self, name) for name in sorted(vars(RandomOperations)) if name.startswith("step_")
        ]

    def next(self) -> tuple[str, _Step]:
        """Return the next step with a description."""
        kind = self._draw.choice(self._kinds)
        step, *arguments = kind()
        return f"{kind.__name__} {arguments}", step

    def _path(self) -> bytes:
        depth = self._draw.choice((1, 1, 2, 2, 3))
        return b"/".join(self._draw.choice(NAMES[: 7 if depth == 1 else 3]) for _ in range(depth))

    def _slot(self) -> int:
        return self._draw.randrange(_SLOTS)

    def _offset(self) -> int:
        return self._draw.choice((0, 1, 100, BLOCK, 3 * BLOCK + 7, 16 * BLOCK))

    def step_mkdir(self) -> tuple[Any, ...]:
        path, mode, mask = self._path(), self._draw.choice(MODES), self._draw.choice((0, 0o22, 0o77))

        def step(subject: OperatedDirectory) -> object:
            before = os.umask(mask)
            try:
                return os.mkdir(subject.at(path), mode)
            finally:
                os.umask(before)

        return step, path, mode, mask

    step_mkdir_again = step_mkdir

    def step_rmdir(self) -> tuple[Any, ...]:
        path = self._path()
        return (lambda subject: os.rmdir(subject.at(path))), path

    def step_open(self) -> tuple[Any, ...]:
        path, slot, flags = self._path(), self._slot(), self._draw.choice(FLAGS)
        flags |= self._draw.choice((0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL)) | os.O_NONBLOCK
        mode, mask = self._draw.choice(MODES), self._draw.choice((0, 0o22, 0o77))

        def step(subject: OperatedDirectory) -> object:
            if subject.slots[slot] != -1:
                os.close(subject.slots[slot])
                subject.slots[slot] = -1
            if is_device(subject.at(path)):
                return "a device"  # the mount has the option nodev
            before = os.umask(mask)
            try:
                subject.slots[slot] = os.open(subject.at(path), flags, mode)
            finally:
                os.umask(before)
            return status(os.fstat(subject.slots[slot]))

        return step, path, slot, flags, mode, mask

    step_open_again = step_open

    def step_write(self) -> tuple[Any, ...]:
        slot, offset = self._slot(), self._offset()
        data = self._draw.randbytes(self._draw.choice((1, 100, BLOCK, 5 * BLOCK)))
        return (lambda subject: os.pwrite(subject.fd(slot), data, offset)), slot, offset, len(data)

    def step_read(self) -> tuple[Any, ...]:
        slot, offset = self._slot(), self._offset()
        return (lambda subject: os.pread(subject.fd(slot), 3 * BLOCK, offset)), slot, offset

    def step_look(self) -> tuple[Any, ...]:
        slot = self._slot()
        return (lambda subject: status(os.fstat(subject.fd(slot)))), slot

    def step_punch(self) -> tuple[Any, ...]:
        slot, offset, mode = self._slot(), self._offset(), self._draw.choice((3, 3, 1, 0, 17))

        def step(subject: OperatedDirectory) -> object:
            number = host_fallocate(subject.fd(slot), mode, offset, 2 * BLOCK)
            return number, os.fstat(subject.fd(slot)).st_size

        return step, slot, offset, mode

    def step_seek(self) -> tuple[Any, ...]:
        slot, offset = self._slot(), self._offset()
        whence = self._draw.choice((os.SEEK_DATA, os.SEEK_HOLE, os.SEEK_END))

        def step(subject: OperatedDirectory) -> object:
            if stat.S_ISDIR(os.fstat(subject.fd(slot)).st_mode):
                return "a directory"  # its positions are the file system's own
            return os.lseek(subject.fd(slot), offset, whence)

        return step, slot, offset, whence

    def step_copy(self) -> tuple[Any, ...]:
        source, target, offset = self._slot(), self._slot(), self._offset()

        def step(subject: OperatedDirectory) -> object:
            return os.copy_file_range(
                subject.fd(source), subject.fd(target), 2 * BLOCK, offset, offset + BLOCK
            )

        return step, source, target, offset

    def step_unnamed(self) -> tuple[Any, ...]:
        path, slot = self._path(), self._slot()
        mode, mask = self._draw.choice(MODES), self._draw.choice((0, 0o22, 0o77))
        flags = os.O_TMPFILE | os.O_RDWR | self._draw.choice((0, 0, os.O_EXCL))

        def step(subject: OperatedDirectory) -> object:
            before = os.umask(mask)
            try:
                fd = os.open(subject.at(path), flags, mode)
            finally:
                os.umask(before)
            if subject.slots[slot] != -1:
                os.close(subject.slots[slot])
            subject.slots[slot] = fd
            return status(os.fstat(fd))

        return step, path, slot, mode, mask, flags

    def step_name(self) -> tuple[Any, ...]:
        slot, new = self._slot(), self._path()

        def step(subject: OperatedDirectory) -> object:
            source = f"/proc/self/fd/{subject.fd(slot)}"
            here = os.open("/", os.O_PATH)
            try:
                return os.link(source, subject.at(new), src_dir_fd=here, follow_symlinks=True)
            finally:
                os.close(here)

        return step, slot, new

    def step_truncate(self) -> tuple[Any, ...]:
        path, size = self._path(), self._offset()
        return (lambda subject: os.truncate(subject.at(path), size)), path, size

    def step_unlink(self) -> tuple[Any, ...]:
        path = self._path()
        return (lambda subject: os.unlink(subject.at(path))), path

    def step_symlink(self) -> tuple[Any, ...]:
        path, target = self._path(), self._draw.choice(TARGETS)
        return (lambda subject: os.symlink(target, subject.at(path))), path, target

    def step_readlink(self) -> tuple[Any, ...]:
        path = self._path()
        return (lambda subject: os.readlink(subject.at(path))), path

    def step_link(self) -> tuple[Any, ...]:
        path, new = self._path(), self._path()
        return (lambda subject: os.link(subject.at(path), subject.at(new), follow_symlinks=False)), path, new

    def step_rename(self) -> tuple[Any, ...]:
        path, new, flags = self._path(), self._path(), self._draw.choice((0, 0, 1, 2, 3))
        return (
            (lambda subject: renameat2(-100, subject.at(path), -100, subject.at(new), flags)),
            path,
            new,
            flags,
        )

    step_rename_again = step_rename

    def step_special(self) -> tuple[Any, ...]:
        path = self._path()
        kind = self._draw.choice((stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFREG, stat.S_IFSOCK))
        return (lambda subject: os.mknod(subject.at(path), kind | 0o640, os.makedev(1, 3))), path, kind

    def step_socket(self) -> tuple[Any, ...]:
        name = self._draw.choice(NAMES[:3])

        def step(subject: OperatedDirectory) -> object:
            with socket.socket(socket.AF_UNIX) as listener:
                here = os.open(".", os.O_PATH)
                os.chdir(subject.root)
                try:
                    return listener.bind(name)
                finally:
                    os.fchdir(here)
                    os.close(here)

        return step, name

    def step_chmod(self) -> tuple[Any, ...]:
        path, mode = self._path(), self._draw.choice(MODES)
        return (lambda subject: os.chmod(subject.at(path), mode)), path, mode

    def step_chown(self) -> tuple[Any, ...]:
        path, follow = self._path(), self._draw.choice((True, False))
        uid, gid = self._draw.choice((-1, 0, 1, 7)), self._draw.choice((-1, 0, 2, 9))
        return (
            (lambda subject: os.chown(subject.at(path), uid, gid, follow_symlinks=follow)),
            path,
            uid,
            gid,
            follow,
        )

    def step_times(self) -> tuple[Any, ...]:
        path, follow = self._path(), self._draw.choice((True, False))
        times = (self._draw.randrange(1 << 60), self._draw.randrange(1 << 60))

        def step(subject: OperatedDirectory) -> object:
            os.utime(subject.at(path), ns=times, follow_symlinks=follow)
            return os.stat(subject.at(path), follow_symlinks=follow).st_mtime_ns

        return step, path, times, follow

    def step_set_attribute(self) -> tuple[Any, ...]:
        path, follow = self._path(), self._draw.choice((True, False))
        name, flags = self._draw.choice(ATTRIBUTES), self._draw.choice((0, 0, 1, 2))
        value = self._draw.randbytes(self._draw.choice((0, 1, 100, 3000, 65536)))
        step = lambda subject: os.setxattr(  # noqa: E731
            subject.at(path), name, value, flags, follow_symlinks=follow
        )
        return step, path, name, flags, len(value), follow

    def step_set_acl(self) -> tuple[Any, ...]:
        path, value = self._path(), self._draw.choice(ACLS)
        name = self._draw.choice(("system.posix_acl_access", "system.posix_acl_default"))
        return (lambda subject: os.setxattr(subject.at(path), name, value)), path, name, value

    def step_attributes(self) -> tuple[Any, ...]:
        path, follow = self._path(), self._draw.choice((True, False))
        name = self._draw.choice((*ATTRIBUTES, b"system.posix_acl_access"))

        def step(subject: OperatedDirectory) -> object:
            names = sorted(os.listxattr(subject.at(path), follow_symlinks=follow))
            return names, os.getxattr(subject.at(path), name, follow_symlinks=follow)

        return step, path, name, follow

    def step_remove_attribute(self) -> tuple[Any, ...]:
        path, name = self._path(), self._draw.choice((*ATTRIBUTES, b"system.posix_acl_default"))
        return (lambda subject: os.removexattr(subject.at(path), name)), path, name

    def step_stat(self) -> tuple[Any, ...]:
        path, follow = self._path(), self._draw.choice((True, False))
        return (lambda subject: status(os.stat(subject.at(path), follow_symlinks=follow))), path, follow

    def step_list(self) -> tuple[Any, ...]:
        path = self._path()
        return (lambda subject: sorted(os.listdir(subject.at(path)))), path

"""`FileOperations` extends pyfuse3's operations, and turns handler failures into errnos."""

import errno
import functools
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, cast

import pyfuse3

log = logging.getLogger(__name__)

_NOTES = frozenset({"released", "mounted_over", "passthrough_refused"})
_ADDED = frozenset({"fallocate", "lseek", "statfs_of", "truncate"}) | _NOTES
_HANDLERS = _ADDED | {
    name for name, value in vars(pyfuse3.Operations).items() if inspect.iscoroutinefunction(value)
}


def _refuse(number: int) -> NoReturn:
    raise pyfuse3.FUSEError(number)


def _bounded(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Raise nothing but FUSEError from a handler: pyfuse3 ends the session on any other exception."""

    @functools.wraps(handler)
    async def bounded(*arguments: Any, **keywords: Any) -> Any:
        try:
            return await handler(*arguments, **keywords)
        except pyfuse3.FUSEError:
            raise
        except OSError as error:
            # After ENOSYS the kernel would no longer send this operation, for any file.
            number = error.errno or errno.EIO
            raise pyfuse3.FUSEError(errno.EOPNOTSUPP if number == errno.ENOSYS else number) from error
        except Exception as error:
            log.exception("%s failed; the caller gets EIO", handler.__qualname__)
            raise pyfuse3.FUSEError(errno.EIO) from error

    return bounded


def _silent(handler: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Raise nothing from a handler that answers no request, such as ``forget``."""

    @functools.wraps(handler)
    async def silent(*arguments: Any, **keywords: Any) -> None:
        try:
            await handler(*arguments, **keywords)
        except Exception:
            log.exception("%s failed", handler.__qualname__)

    return silent


class FileOperations(pyfuse3.Operations):
    """`FileOperations` has pyfuse3's operations and some more, all asynchronous. Derive from it.

    It is the boundary for errors: pyfuse3 sees only FUSEError from a subclass's handlers (an OSError keeps
    its errno; a bug is logged and becomes EIO), and no exception from ``forget``. Defaults do not answer
    ENOSYS, since the kernel then never sends the operation to this mount again. Extended attributes are the
    exception: without ENOSYS the kernel would read them before each write and each punch (fs/inode.c,
    file_remove_privs).
    """

    supports_dot_lookup = False

    def __init_subclass__(cls, **keywords: object) -> None:
        super().__init_subclass__(**keywords)
        for name in _HANDLERS & vars(cls).keys():
            guard = _silent if name in _NOTES | {"forget"} else _bounded
            setattr(cls, name, guard(vars(cls)[name]))

    async def fallocate(self, inode: int, fh: int, mode: int, offset: int, length: int) -> None:
        """Allocate, punch or zero *length* bytes at *offset*, as fallocate does.

        The kernel passes only KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE to FUSE: fs/fuse/file.c.
        """
        _refuse(errno.EOPNOTSUPP)

    async def write(
        self, fh: int, off: int, buf: bytes | memoryview, ended: Callable[[], object] | None = None
    ) -> int:
        """Write *buf* at the offset *off*; return the number of bytes written.

        A view of the kernel's request comes without a copy. It stays valid for as long as it is kept. *ended*
        answers the request as written in full. It may be called before the return, once, from any thread.
        """
        _refuse(errno.EOPNOTSUPP)

    async def lseek(self, inode: int, fh: int, offset: int, whence: int) -> int:
        """Return the offset that SEEK_DATA or SEEK_HOLE finds; the kernel does the other kinds itself."""
        _refuse(errno.EOPNOTSUPP)

    async def truncate(self, inode: int, fh: int | None, size: int, uid: int) -> None:
        """Set the size of a file, before the channel's names answer a SETATTR or OPEN of the user *uid*."""
        _refuse(errno.EOPNOTSUPP)

    async def released(self, path: str, fd: int) -> None:
        """Take over *fd*, a descriptor of a removed file that the kernel has forgotten."""
        os.close(fd)

    async def mounted_over(self, path: str) -> None:
        """Take notice of a file system that is mounted in the served tree at *path*."""

    async def passthrough_refused(self, path: str) -> None:
        """Take notice that the kernel refuses to serve the data of the file at *path*."""

    async def statfs_of(self, inode: int) -> pyfuse3.StatvfsData:
        """Return the statvfs(3) data for *inode*.

        A loop device takes its discard granularity from f_bsize: drivers/block/loop.c.
        """
        return await self.statfs(cast("pyfuse3.RequestContext", None))

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Return the statvfs(3) data of the mount; not called if ``statfs_of`` is overridden."""
        _refuse(errno.EOPNOTSUPP)

    async def access(self, inode: int, mode: int, ctx: pyfuse3.RequestContext) -> bool:
        """Allow every access: with default_permissions the kernel has checked already."""
        return True

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """Open any directory; return its inode as the handle."""
        return inode

    async def releasedir(self, fh: int) -> None:
        """Close a directory."""

    async def flush(self, fh: int) -> None:
        """Do nothing at each close of a file descriptor."""

    async def release(self, fh: int) -> None:
        """Do nothing at the last close."""


def _refusing(number: int) -> Callable[..., Awaitable[Any]]:
    async def refuse(self: FileOperations, *arguments: object) -> Any:
        _refuse(number)

    return refuse


_ATTRIBUTES = frozenset({"setxattr", "getxattr", "listxattr", "removexattr"})

# An operation that a subclass leaves out is refused with an errno that the kernel does not remember; the
# class docstring explains the exception. After ENOSYS for an attribute, the kernel answers EOPNOTSUPP itself
# (fs/fuse/xattr.c).
for _name in _HANDLERS - vars(FileOperations).keys() - {"forget", "release", "releasedir", "flush"}:
    setattr(FileOperations, _name, _refusing(errno.ENOSYS if _name in _ATTRIBUTES else errno.EOPNOTSUPP))

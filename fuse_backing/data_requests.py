"""`serve_data_requests` serves the kernel's requests that the channel leaves to Python, one task each.

They are read, write, fsync, fallocate, lseek, statfs, and the truncations of SETATTR and OPEN, which the
channel's names answer afterwards. Notes come the same way; they have no answer.
"""

import errno
import os
from collections.abc import Awaitable, Callable
from functools import partial

import pyfuse3
import trio

from fuse_backing.extension import native
from fuse_backing.operations import FileOperations

SETATTR, OPEN, READ, WRITE, STATFS, FSYNC = 4, 14, 15, 16, 17, 20
FALLOCATE, LSEEK = 43, 46
"""Opcodes of include/uapi/linux/fuse.h."""
RELEASED, MOUNTED, REFUSED = 256, 257, 258
"""Notes of ``native/names/names.h``."""


async def serve_data_requests(operations: FileOperations) -> None:
    """Serve requests by *operations* until the connection ends, and every request has its answer.

    Requests begin in the order in which the kernel sent them. Raises ``OSError`` if ``/dev/fuse`` can't be
    read any more for another reason than an unmount.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve_next, operations, nursery)


async def _serve_next(operations: FileOperations, nursery: trio.Nursery) -> None:
    while (found := native.take_request()) is None:
        error = native.ended()
        if error == errno.ENODEV:
            return
        if error:
            raise OSError(error, f"cannot read /dev/fuse: {os.strerror(error)}")
        await trio.lowlevel.wait_readable(native.requests_fd())
    # The next task takes the next request when this one has run up to its first checkpoint. Tasks that were
    # ready at the same time would run in any order.
    nursery.start_soon(_serve_next, operations, nursery)
    opcode, request, *arguments = found
    del found
    await _answered(ANSWERS[opcode], operations, request, *arguments)


async def _answered(
    answer: Callable[..., Awaitable[None]],
    operations: FileOperations,
    request: native.FuseRequest,
    *arguments: int | bytes,
) -> None:
    try:
        await answer(operations, request, *arguments)
    except pyfuse3.FUSEError as error:
        if not request.answered:
            native.reply_err(request, error.errno)


async def _read(
    operations: FileOperations, request: native.FuseRequest, fh: int, offset: int, size: int
) -> None:
    native.reply_data(request, await operations.read(fh, offset, size))


async def _write(operations: FileOperations, request: native.FuseRequest, fh: int, offset: int) -> None:
    # The request itself is the data: it may still be in use after the answer.
    ended = partial(native.reply_ended, request)
    written = await operations.write(fh, offset, memoryview(request), ended)
    if not request.answered:
        native.reply_written(request, written)


async def _fsync(operations: FileOperations, request: native.FuseRequest, fh: int, datasync: bool) -> None:
    await operations.fsync(fh, datasync)
    native.reply_err(request, 0)


async def _fallocate(
    operations: FileOperations,
    request: native.FuseRequest,
    inode: int,
    fh: int,
    mode: int,
    offset: int,
    length: int,
) -> None:
    await operations.fallocate(inode, fh, mode, offset, length)
    native.reply_err(request, 0)


async def _lseek(
    operations: FileOperations, request: native.FuseRequest, inode: int, fh: int, offset: int, whence: int
) -> None:
    native.reply_lseek(request, await operations.lseek(inode, fh, offset, whence))


async def _statfs(operations: FileOperations, request: native.FuseRequest, inode: int) -> None:
    stats = await operations.statfs_of(inode)
    native.reply_statfs(
        request,
        stats.f_bsize,
        stats.f_frsize,
        stats.f_blocks,
        stats.f_bfree,
        stats.f_bavail,
        stats.f_files,
        stats.f_ffree,
        stats.f_favail,
        stats.f_namemax,
    )


async def _truncate(
    operations: FileOperations, request: native.FuseRequest, inode: int, size: int, fh: int, uid: int
) -> None:
    await operations.truncate(inode, None if fh == -1 else fh, size, uid)
    native.resume(request)


async def _open(operations: FileOperations, request: native.FuseRequest, inode: int, uid: int) -> None:
    """Open a file with O_TRUNC."""
    await operations.truncate(inode, None, 0, uid)
    native.resume(request)


async def _released(operations: FileOperations, request: native.FuseRequest, path: bytes, fd: int) -> None:
    await operations.released(os.fsdecode(path), fd)


async def _mounted_over(
    operations: FileOperations, request: native.FuseRequest, path: bytes, fd: int
) -> None:
    await operations.mounted_over(os.fsdecode(path))


async def _refused(operations: FileOperations, request: native.FuseRequest, path: bytes, fd: int) -> None:
    await operations.passthrough_refused(os.fsdecode(path))


ANSWERS: dict[int, Callable[..., Awaitable[None]]] = {
    RELEASED: _released,
    MOUNTED: _mounted_over,
    REFUSED: _refused,
    SETATTR: _truncate,
    OPEN: _open,
    READ: _read,
    WRITE: _write,
    STATFS: _statfs,
    FSYNC: _fsync,
    FALLOCATE: _fallocate,
    LSEEK: _lseek,
}
"""The answer to a request, by opcode; one that raises FUSEError is answered with its errno."""

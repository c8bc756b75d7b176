"""`OneFile` is a file system whose every name is the same file. The import needs everything a mount needs."""

import errno
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pyfuse3
import trio

from fuse_backing.channel_options import ChannelOptions
from fuse_backing.fuse_uring import DEVICE, IO_URING, FuseUring
from fuse_backing.operations import FileOperations
from fuse_backing.session import Session, mounted
from tests.fuse_transports import chosen

FILE = 2
"""The inode of the file."""


class OneFile(FileOperations):
    """A `OneFile` has the same empty file under every name; tests add handlers to it."""

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return await self.getattr(FILE, ctx)

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = (stat.S_IFDIR if inode == pyfuse3.ROOT_INODE else stat.S_IFREG) | 0o700
        entry.attr_timeout = entry.entry_timeout = 0
        return entry

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=77, direct_io=True, keep_cache=False)

    async def forget(self, inode_list: object) -> None:
        raise RuntimeError("a bug in forget")

    async def write(
        self, fh: int, off: int, buf: bytes | memoryview, ended: Callable[[], object] | None = None
    ) -> int:
        raise RuntimeError("a bug in write")

    async def fsync(self, fh: int, datasync: bool) -> None:
        raise OSError(errno.ENOSYS, "not there")

    async def fallocate(self, inode: int, fh: int, mode: int, offset: int, length: int) -> None:
        assert (inode, fh) == (FILE, 77)
        await trio.lowlevel.checkpoint()
        if length == 1:
            raise OSError(errno.ENOSPC, "full")
        if length == 2:
            raise RuntimeError("a bug in fallocate")
        if length == 3:
            raise pyfuse3.FUSEError(errno.EDQUOT)

    async def lseek(self, inode: int, fh: int, offset: int, whence: int) -> int:
        return offset + whence * 1000

    async def statfs_of(self, inode: int) -> pyfuse3.StatvfsData:
        stats = pyfuse3.StatvfsData()
        stats.f_bsize = stats.f_frsize = 65536 if inode == FILE else 4096
        return stats


@asynccontextmanager
async def mount(
    operations: FileOperations, path: Path, channel: ChannelOptions | None = None
) -> AsyncIterator[Session]:
    with trio.fail_after(60):
        options = replace(channel or ChannelOptions(), uring=chosen())
        async with mounted(
            operations, path, fsname="a,b\\c é", subtype="fuse_backing_test", channel=options
        ) as session:
            assert session.transport is (DEVICE if options.uring is FuseUring.OFF else IO_URING)
            yield session

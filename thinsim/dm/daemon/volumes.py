"""`VolumeOperations` serves mapped devices as files on this process's own FUSE mount, for loop devices.

A file's ``statfs`` reports the device's discard granularity as its block size: a loop device takes its own
granularity from there (drivers/block/loop.c, loop_get_discard_config).
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyfuse3

from fuse_backing.operations import FileOperations
from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE
from thinsim.block.discard_pieces import discard_pieces
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.emulator.pool.plane import DeviceBypass, NoDeviceBypass
from thinsim.errors import DeviceMapperError

_PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_ZERO = (FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)


@dataclass(slots=True)
class _File:
    name: str
    device: MappedDevice
    opens: int = 0
    published: bool = True
    punches_discard: bool = False
    """Each punch is certainly a discard: the loop device takes no write-zeroes requests."""
    dropped: tuple[int, int] | None = None
    """The offset and length of a write of zeros to drop, once."""


class VolumeOperations(FileOperations):
    """A `VolumeOperations` serves one flat directory: files come and go with their devices only."""

    supports_dot_lookup = True
    enable_writeback_cache = False

    def __init__(
        self,
        mountpoint: Path,
        on_released: Callable[[str], None],
        bypass_of: Callable[[int], DeviceBypass] = lambda handle: NoDeviceBypass(),
    ) -> None:
        super().__init__()
        self._bypass_of = bypass_of
        self._mountpoint = mountpoint
        self._on_released = on_released
        self._files: dict[int, _File] = {}
        self._by_name: dict[str, int] = {}
        self._next_inode = pyfuse3.ROOT_INODE + 1
        self._started = time.time_ns()

    def publish(self, name: str, device: MappedDevice) -> Path:
        """Publish *device* as the file *name* and return its path."""
        # Never reuse an inode number: the kernel may still know the old file of that name.
        inode, self._next_inode = self._next_inode, self._next_inode + 1
        self._files[inode] = _File(name, device)
        device.bypass = self._bypass_of(inode)
        self._by_name[name] = inode
        return self._mountpoint / name

    def republish(self, name: str, new: str) -> Path:
        """Rename a file and return its path; open files are not affected."""
        inode = self._by_name.pop(name)
        self._by_name[new] = inode
        self._files[inode].name = new
        return self._mountpoint / new

    def punches_discard(self, name: str, certain: bool) -> None:
        """Set whether each punch of a file is certainly a discard, or may also be a request for zeros."""
        self._files[self._by_name[name]].punches_discard = certain

    @contextmanager
    def dropping_zeros(self, name: str, offset: int, length: int) -> Iterator[None]:
        """Drop one write of *length* zeros at *offset* while the block runs.

        If two such writes come at once, either may be dropped: they write the same.
        """
        file = self._files[self._by_name[name]]
        file.device.bypass.hold()
        file.dropped = (offset, length)
        try:
            yield
        finally:
            file.dropped = None
            file.device.bypass.release()

    def withdraw(self, name: str) -> None:
        """Remove the name; open files work until they are closed."""
        inode = self._by_name.pop(name, None)
        if inode is not None:
            self._files[inode].published = False
            self._drop_if_unused(inode)

    async def lookup(self, parent_inode: int, name: bytes, ctx: object) -> Any:
        """Find a file by name."""
        if name in (b".", b".."):
            return self._attributes(pyfuse3.ROOT_INODE)
        inode = self._by_name.get(os.fsdecode(name))
        if inode is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return self._attributes(inode)

    async def getattr(self, inode: int, ctx: object = None) -> Any:
        """Return the size and the mapped blocks of a file."""
        return self._attributes(inode)

    async def setattr(self, inode: int, attr: Any, fields: Any, fh: int | None, ctx: object) -> Any:
        """Accept new times without effect; refuse a new size, mode or owner with EPERM."""
        if fields.update_size or fields.update_mode or fields.update_uid or fields.update_gid:
            raise pyfuse3.FUSEError(errno.EPERM)
        return self._attributes(inode)

    async def opendir(self, inode: int, ctx: object) -> int:
        """Open the only directory."""
        return inode

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        """List the published files."""
        for name, inode in sorted(self._by_name.items(), key=lambda item: item[1]):
            if inode > start_id and not pyfuse3.readdir_reply(
                token, os.fsencode(name), self._attributes(inode), inode
            ):
                return

    async def open(self, inode: int, flags: int, ctx: object) -> Any:
        """Open a file for direct I/O: the loop device has a page cache, this mount needs none."""
        file = self._file(inode)
        file.opens += 1
        return pyfuse3.FileInfo(fh=inode, direct_io=True, keep_cache=False)

    async def release(self, fh: int) -> None:
        """Close a file; its last close is reported to the device-mapper."""
        file = self._files.get(fh)
        if file is None:
            return
        file.opens -= 1
        if not file.opens:
            self._drop_if_unused(fh)
            self._on_released(file.name)

    async def read(self, fh: int, offset: int, size: int) -> bytes:
        """Read from the device."""
        try:
            return await self._file(fh).device.read(offset, size)
        except DeviceMapperError as error:
            raise pyfuse3.FUSEError(error.errno) from error

    async def write(
        self, fh: int, offset: int, buf: bytes | memoryview, ended: Callable[[], object] | None = None
    ) -> int:
        """Write to the device."""
        file = self._file(fh)
        if file.dropped == (offset, len(buf)) and not any(buf):
            file.dropped = None
            return len(buf)
        try:
            await file.device.write(offset, buf, ended)
        except DeviceMapperError as error:
            raise pyfuse3.FUSEError(error.errno) from error
        return len(buf)

    async def flush(self, fh: int) -> None:
        """Do nothing at close(2): no data is cached here."""

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Flush the device, as the loop device asks."""
        try:
            await self._file(fh).device.flush()
        except DeviceMapperError as error:
            raise pyfuse3.FUSEError(error.errno) from error

    async def fallocate(self, inode: int, fh: int, mode: int, offset: int, length: int) -> None:
        """Discard a punched range. If the punch may be a write-zeroes request, make it read as zeros.

        Zero range: EOPNOTSUPP unless the device takes write-zeroes requests. Both are refused if the device
        takes no discards: the loop driver then sends none of them (drivers/block/loop.c, lo_fallocate).
        """
        file = self._file(inode)
        device = file.device
        try:
            if not device.granularity:
                raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
            if mode == _PUNCH and not file.punches_discard:
                await device.punch(offset, length)
            elif mode == _PUNCH:
                # A device-mapper device would get these pieces; the loop device's queue has merged them.
                for start, size in discard_pieces(offset, length, max(device.granularity, 512)):
                    await device.discard(start, size)
            elif mode in _ZERO and device.writes_zeroes:
                await device.zero(offset, length)
            else:
                raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
        except DeviceMapperError as error:
            raise pyfuse3.FUSEError(error.errno) from error

    async def statfs_of(self, inode: int) -> Any:
        """Report the device's discard granularity as the block size, and its space in such blocks."""
        answer = pyfuse3.StatvfsData()
        file = self._files.get(inode)
        block = max(file.device.granularity, 512) if file else 4096
        answer.f_bsize = block
        answer.f_frsize = block
        answer.f_blocks = file.device.size // block if file else 0
        answer.f_bfree = answer.f_bavail = (
            max(file.device.size - file.device.allocated, 0) // block if file else 0
        )
        answer.f_files = len(self._by_name)
        answer.f_ffree = answer.f_favail = 0
        answer.f_namemax = 127
        return answer

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Do nothing: no state is kept per lookup."""

    def _file(self, inode: int) -> _File:
        try:
            return self._files[inode]
        except KeyError:
            raise pyfuse3.FUSEError(errno.ENOENT) from None

    def _drop_if_unused(self, inode: int) -> None:
        file = self._files[inode]
        if not file.published and not file.opens:
            del self._files[inode]

    def _attributes(self, inode: int) -> Any:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = self._started
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        entry.attr_timeout = entry.entry_timeout = 0
        entry.generation = 0
        if inode == pyfuse3.ROOT_INODE:
            entry.st_mode = stat.S_IFDIR | 0o500
            entry.st_nlink = 2
            entry.st_size = entry.st_blocks = 0
            entry.st_blksize = 4096
            return entry
        file = self._file(inode)
        entry.st_mode = stat.S_IFREG | 0o600
        entry.st_nlink = 1
        entry.st_size = file.device.size
        entry.st_blocks = file.device.allocated // 512
        entry.st_blksize = max(file.device.granularity, 4096)
        return entry

"""These functions set a loop device's limits for discards and write-zeroes requests.

The driver sets the limits from the file when it attaches and whenever the block size changes. It clears one
of them for good when the file's fallocate returns EOPNOTSUPP (drivers/block/loop.c, loop_update_limits,
loop_clear_limits; Linux 6.9). It sends a discard, and a write-zeroes request that may unmap, as the same
hole punch (lo_fallocate). So the file's server can distinguish them only while the device takes no
write-zeroes requests.
"""

import errno
import fcntl
import mmap
import os
import platform
import re
import struct
from collections.abc import Callable

from fuse_backing.system_calls import FALLOC_FL_ZERO_RANGE, fallocate
from thinsim.block.kernel_view import sysfs
from thinsim.block.linux import BLKDISCARD
from thinsim.block.loop import LoopDevice, is_same

_LOOP_SET_BLOCK_SIZE = 0x4C09
_BLKFLSBUF = 0x1261  # linux/fs.h: _IO(0x12, 97)
_REFUSALS = frozenset({errno.EBUSY, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP})


def kernel_clears_limits() -> bool:
    """Return whether the loop driver clears a limit when the file's server refuses a request (Linux 6.9)."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return found is not None and (int(found[1]), int(found[2])) >= (6, 9)


def take_limits(loop: LoopDevice, block_size: int) -> None:
    """Set the logical block size in bytes, and read the other limits from the file again.

    The device must not be in use, because its cache is dropped (loop_set_block_size).
    """
    fd = os.open(loop.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if is_same(fd, loop):
            # The driver ignores an unchanged size, so set another size first.
            fcntl.ioctl(fd, _LOOP_SET_BLOCK_SIZE, 1024 if block_size == 512 else 512)
            fcntl.ioctl(fd, _LOOP_SET_BLOCK_SIZE, block_size)
    finally:
        os.close(fd)


def takes_write_zeroes(loop: LoopDevice) -> bool:
    """Return whether the device takes write-zeroes requests."""
    return sysfs(loop.path, "queue/write_zeroes_max_bytes") != "0"


def takes_discards(loop: LoopDevice) -> bool:
    """Return whether the device takes discards, unless its user has turned them off in sysfs."""
    return sysfs(loop.path, "queue/discard_max_hw_bytes") != "0"


def last_page(size: int, block_size: int) -> tuple[int, int] | None:
    """Return offset and length of the last page of a device of *size* bytes; None if it is empty.

    The kernel drops the page cache of a range that is discarded or zeroed. Of a page that the range covers in
    part it keeps the rest and zeroes the part (mm/truncate.c, truncate_inode_partial_folio), even if the
    device refuses the request. A smaller device has less than a page: the range is its whole blocks.
    """
    page = max(mmap.PAGESIZE, block_size)
    if size >= page:
        return (size // page - 1) * page, page
    return (0, size - size % block_size) if size >= block_size else None


def stop_write_zeroes(loop: LoopDevice, offset: int, length: int) -> None:
    """Make the kernel (Linux 6.9 or later) stop sending write-zeroes requests to the file.

    This sends one such request, a ZERO_RANGE of *length* bytes at *offset*; the file's server must refuse
    it with EOPNOTSUPP. The kernel then writes zeros there instead (block/blk-lib.c, blkdev_issue_zeroout);
    the server must drop that write. Does nothing if the device is busy or refuses writes.
    """
    _send(loop, lambda fd: fallocate(fd, FALLOC_FL_ZERO_RANGE, offset, length))


def stop_discards(loop: LoopDevice, offset: int, length: int) -> None:
    """Make the device refuse discards and write-zeroes requests, on Linux 6.9 or later.

    This sends one discard of *length* bytes at *offset*; the file's server must refuse it with EOPNOTSUPP.
    Does nothing if the device is busy or refuses writes.
    """
    _send(loop, lambda fd: fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length)))


def _send(loop: LoopDevice, request: Callable[[int], object]) -> None:
    fd = os.open(loop.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if is_same(fd, loop):
            # The request drops the pages of the range, dirty ones too, so write them first. BLKFLSBUF ignores
            # a write that fails in a full pool; fsync would not.
            fcntl.ioctl(fd, _BLKFLSBUF)
            request(fd)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
    finally:
        os.close(fd)

"""Sets the request limits of a loop device: which discards and write-zeroes requests its queue takes.

The driver sets them from the file when it attaches and whenever the block size changes. It clears the one or
the other for good once the file's fallocate answers EOPNOTSUPP (drivers/block/loop.c, loop_update_limits,
loop_clear_limits; Linux 6.9). It sends a discard and a write-zeroes request that may unmap as the same hole
punch (lo_fallocate), so whoever serves the file can tell them apart only while the device takes no
write-zeroes requests.
"""

import errno
import fcntl
import os
import platform
import re
import struct

from fuse_backing.system_calls import FALLOC_FL_ZERO_RANGE, fallocate
from thinsim.block.kernel_view import sysfs
from thinsim.block.linux import BLKDISCARD
from thinsim.block.loop import LoopDevice, is_same

_LOOP_SET_BLOCK_SIZE = 0x4C09
_BLKFLSBUF = 0x1261  # linux/fs.h: _IO(0x12, 97)
_REFUSALS = frozenset({errno.EBUSY, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP})


def kernel_clears_limits() -> bool:
    """Tell whether this kernel's loop driver stops sending what a file's server refuses (Linux 6.9)."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return found is not None and (int(found[1]), int(found[2])) >= (6, 9)


def take_limits(loop: LoopDevice, block_size: int) -> None:
    """Set the logical block size in bytes and take the other limits from the file anew.

    Only while nobody uses the device: its cache is dropped (loop_set_block_size).
    """
    fd = os.open(loop.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if is_same(fd, loop):
            # Setting the same size would change nothing.
            fcntl.ioctl(fd, _LOOP_SET_BLOCK_SIZE, 1024 if block_size == 512 else 512)
            fcntl.ioctl(fd, _LOOP_SET_BLOCK_SIZE, block_size)
    finally:
        os.close(fd)


def takes_write_zeroes(loop: LoopDevice) -> bool:
    """Tell whether the device takes write-zeroes requests."""
    return sysfs(loop.path, "queue/write_zeroes_max_bytes") != "0"


def takes_discards(loop: LoopDevice) -> bool:
    """Tell whether the device takes discards."""
    return sysfs(loop.path, "queue/discard_max_bytes") != "0"


def stop_write_zeroes(loop: LoopDevice, offset: int, length: int) -> None:
    """Have the kernel send no write-zeroes requests to the file any more, if it is Linux 6.9 or later.

    The file's server must answer the one that comes now, a ZERO_RANGE of *length* bytes at *offset*, with
    EOPNOTSUPP. It must drop the write of zeros there with which the kernel makes up for that
    (block/blk-lib.c, blkdev_issue_zeroout). Does nothing where the device is busy or refuses writes.
    """
    fd = os.open(loop.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if is_same(fd, loop):
            # The call drops the page of the range, dirty or not. A flush might fail in a pool without space.
            fcntl.ioctl(fd, _BLKFLSBUF)
            fallocate(fd, FALLOC_FL_ZERO_RANGE, offset, length)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
    finally:
        os.close(fd)


def stop_discards(loop: LoopDevice, length: int) -> None:
    """Have the device refuse discards, if this is Linux 6.9 or later: a server that takes none says so once.

    The discard sent is of *length* bytes at 0.
    """
    fd = os.open(loop.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if is_same(fd, loop):
            fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", 0, length))
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
    finally:
        os.close(fd)

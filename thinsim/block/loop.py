"""These functions attach, find, refresh and detach loop devices, at once or at the last close.

The sources are the kernel's ``drivers/block/loop.c`` and ``include/uapi/linux/loop.h``. ``detach`` first
compares the device with the attachment: another process can reuse a loop number as soon as it is free.
"""

import errno
import fcntl
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from thinsim.block import loop_numbers
from thinsim.block.kernel_view import is_claimed, sysfs
from thinsim.errors import KernelError

_LOOP_CLR_FD = 0x4C01
_LOOP_SET_STATUS64 = 0x4C04
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_CONFIGURE = 0x4C0A
_BLKRASET = 0x1262  # linux/fs.h: _IO(0x12, 98)
_READ_AHEAD = 256  # sectors: VM_READAHEAD_PAGES, the initial read-ahead of a mapped device
_BLKROSET = 0x125D  # linux/fs.h: _IO(0x12, 93)
_BLKROGET = 0x125E

_FLAG_READ_ONLY = 1
_FLAG_AUTOCLEAR = 4
_FLAG_DIRECT_IO = 16

# struct loop_info64: device, inode, rdevice, offset, sizelimit; number, encrypt type, key size,
# flags; file name, crypt name, key; init[2].
_INFO = struct.Struct("=5Q4I64s64s32s2Q")
_CONFIG = struct.Struct(f"=2I{_INFO.size}s8Q")

_ATTACH_TRIES = 64
"""All tries take two seconds, with the waits between them."""
_RELEASE_TRIES = 50


class LoopBusyError(KernelError):
    """EBUSY: another process has the device open."""

    def __init__(self, device: Path) -> None:
        super().__init__(errno.EBUSY, f"loop device {device} is in use")


@dataclass(frozen=True, slots=True)
class LoopDevice:
    """A `LoopDevice` identifies one attachment: the node, and the file that the kernel reports for it.

    ``device`` and ``inode`` are lo_device and lo_inode of LOOP_GET_STATUS64. That ioctl asks the file
    system: it fails if the file system is dead, and hangs if it hangs. ``sequence`` is the disk sequence
    number (block/genhd.c, inc_diskseq; Linux 5.15). Each attachment gets a new one, which is not reused
    before the next boot; it is 0 if the kernel has none.
    """

    path: Path
    device: int
    inode: int
    sequence: int = 0

    @property
    def number(self) -> int:
        """Return N of /dev/loopN."""
        return int(self.path.name.removeprefix("loop"))


class LoopFile(NamedTuple):
    """A `LoopFile` identifies the file of a loop device, and the part of it that the device shows."""

    device: int
    """The number of the file system's device."""
    inode: int
    """The inode's number there."""
    offset: int
    """The first byte that the device shows."""
    limit: int
    """The number of bytes that the device shows; 0 for all."""
    read_only: bool
    """The device takes no writes."""


def attach(
    file: Path,
    *,
    direct_io: bool = False,
    read_only: bool = False,
    block_size: int = 512,
    number: int | None = None,
    offset: int = 0,
) -> LoopDevice:
    """Attach *file* to a free loop device, or to /dev/loopN for *number*, in one step.

    It uses LOOP_CONFIGURE (Linux 5.8), so other processes may attach at the same time. *block_size* is in
    bytes; *offset* is the first byte of the file that the device shows. Raises EnvironmentLacksError if the
    loop driver or the permission is missing, ``OSError`` for the file, and KernelError if no device is
    available: EBUSY if another process uses *number*.
    """
    flags = (_FLAG_DIRECT_IO if direct_io else 0) | (_FLAG_READ_ONLY if read_only else 0)
    file_fd = os.open(file, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    try:
        info = _INFO.pack(*(0, 0, 0, offset, 0, 0, 0, 0, flags), os.fsencode(file)[:63], b"", b"", 0, 0)
        config = _CONFIG.pack(file_fd, block_size, info, *([0] * 8))
        for attempt in range(_ATTACH_TRIES):
            wanted = loop_numbers.free() if number is None else loop_numbers.add(number)
            attached = _configure(Path(f"/dev/loop{wanted}"), config, read_only)
            if attached is not None:
                return attached
            if number is not None and loop_is_bound(number):
                raise KernelError(errno.EBUSY, f"loop device {number} is in use")
            # The driver offers the lowest free device again while another process has it open exclusively.
            # Even a probe that only tests for exclusive access holds it until its process is scheduled.
            time.sleep(0.001 * attempt)
    finally:
        os.close(file_fd)
    raise KernelError(
        errno.EBUSY,
        f"another process holds /dev/loop{wanted}, the free loop device for {file}; find it with lsof",
    )


def detach(loop: LoopDevice, *, deferred: bool = False) -> bool:
    """Detach *loop*; return whether it is detached now.

    If another process has it open: raises LoopBusyError and changes nothing, or with *deferred* returns
    False and the kernel detaches it at the last close. A device that is no longer this attachment is left
    unchanged and counts as detached.
    """
    try:
        fd = os.open(loop.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO):
            return True
        raise
    try:
        if not is_same(fd, loop):
            return True
        read_only = _refuses_writes(fd)
        # The read-only flag of refresh() stays with the number: it would refuse the next user's writes.
        _refuse_writes(fd, False)
        # With other openers this only sets AUTOCLEAR and still returns 0.
        fcntl.ioctl(fd, _LOOP_CLR_FD)
    finally:
        os.close(fd)
    # Check before the claim: another process may have attached this number just now.
    if not is_attached(loop) or _gone_soon(loop, patient=not is_claimed(loop.path)):
        return True
    if deferred:
        return False
    _stay_attached(loop, read_only)
    if not is_attached(loop):
        return True
    raise LoopBusyError(loop.path)


def refresh(loop: LoopDevice, file: Path, *, read_only: bool, optimal_io: int = 0) -> None:
    """Update the device to the new size of its *file*, and refuse writes if *read_only*.

    Sets the read-ahead to twice *optimal_io* bytes, with a minimum (block/blk-settings.c,
    blk_apply_bdi_limits). Does not disturb the device's users. Raises ``OSError`` (ENXIO) if the device is
    no longer this attachment.
    """
    # The loop driver may read a cached size; stat() fetches the new one (fs/fuse/dir.c, fuse_do_getattr).
    file.stat()
    fd = os.open(loop.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not is_same(fd, loop):
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), str(loop.path))
        fcntl.ioctl(fd, _LOOP_SET_CAPACITY)
        _refuse_writes(fd, read_only)
        fcntl.ioctl(fd, _BLKRASET, max(_READ_AHEAD, 2 * optimal_io // 512))
    finally:
        os.close(fd)


def is_attached(loop: LoopDevice) -> bool:
    """Return whether this attachment still exists."""
    if loop.sequence:
        return _has_sequence(loop)
    try:
        fd = os.open(loop.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO):
            return False
        raise
    try:
        return is_same(fd, loop)
    finally:
        os.close(fd)


def attached_devices() -> dict[Path, str]:
    """Return each attached loop device with the kernel's text for its file."""
    found = {}
    for entry in Path("/sys/block").glob("loop*"):
        try:
            found[Path("/dev") / entry.name] = (entry / "loop/backing_file").read_text().rstrip("\n")
        except OSError:
            continue  # free, or detached since the listing
    return found


def devices_of_file(file: Path) -> list[LoopDevice]:
    """Return the attachments whose file the kernel names *file*; deleted files do not match."""
    found = []
    for device, text in attached_devices().items():
        if text != str(file):
            continue
        try:
            fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            # A sequence number can be read even if the file system of the file is dead.
            sequence = _sequence(device)
            device_and_inode = (0, 0) if sequence else _identity(fd)
            found.append(LoopDevice(device, *device_and_inode, sequence))
        except OSError:
            continue
        finally:
            os.close(fd)
    return found


def is_same(fd: int, loop: LoopDevice) -> bool:
    """Return whether the open device *fd* still is the attachment *loop*."""
    if loop.sequence:
        return _has_sequence(loop)
    try:
        return _identity(fd) == (loop.device, loop.inode)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False  # nothing attached
        raise


def file_of(fd: int) -> LoopFile:
    """Return the file of the open loop device *fd*. ``OSError``: ENXIO if nothing is attached."""
    device, inode, _, offset, limit, _, _, _, flags, *_ = _INFO.unpack(_status(fd))
    return LoopFile(device, inode, offset, limit, bool(flags & _FLAG_READ_ONLY))


def has_lost_its_file(loop: LoopDevice) -> bool:
    """Return whether the FUSE server of the device's file is dead, so the device can't be read."""
    try:
        fd = os.open(loop.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        _status(fd)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    finally:
        os.close(fd)
    return False


def loop_is_bound(number: int) -> bool:
    """Return whether any process has attached a file to /dev/loopN."""
    return Path(f"/sys/block/loop{number}/loop").is_dir()


def _configure(node: Path, config: bytes, read_only: bool) -> LoopDevice | None:
    """Try to attach one device; return None if another process was faster."""
    try:
        fd = os.open(node, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO, errno.EBUSY):
            return None  # the node of a new device appears shortly after LOOP_CTL_GET_FREE
        raise
    try:
        fcntl.ioctl(fd, _LOOP_CONFIGURE, config)
        _refuse_writes(fd, False)  # an earlier user may have set it; the driver's own flag is separate
        try:
            return LoopDevice(node, *_identity(fd), _sequence(node))
        except OSError:
            fcntl.ioctl(fd, _LOOP_CLR_FD)  # the file's server has just died: nobody would detach the device
            raise
    except OSError as error:
        if error.errno == errno.EBUSY:
            return None
        raise
    finally:
        os.close(fd)


def _status(fd: int) -> bytearray:
    info = bytearray(_INFO.size)
    fcntl.ioctl(fd, _LOOP_GET_STATUS64, info)
    return info


def _identity(fd: int) -> tuple[int, int]:
    return file_of(fd)[:2]


def _sequence(device: Path) -> int:
    try:
        return int(sysfs(device, "diskseq"))
    except FileNotFoundError:
        return 0


def _has_sequence(loop: LoopDevice) -> bool:
    try:
        # The number changes only at the next attachment, so check that a file is attached as well.
        return _sequence(loop.path) == loop.sequence and bool(sysfs(loop.path, "loop/backing_file"))
    except OSError:
        return False  # nothing attached


def _gone_soon(loop: LoopDevice, *, patient: bool) -> bool:
    """Wait a moment for openers such as a udev probe to close; return whether the device is detached."""
    for attempt in range(_RELEASE_TRIES if patient else 1):
        if not is_attached(loop):
            return True
        if attempt < _RELEASE_TRIES - 1 and patient:
            time.sleep(0.002)
    return False


def _refuses_writes(fd: int) -> bool:
    answer = bytearray(4)
    fcntl.ioctl(fd, _BLKROGET, answer)
    return any(answer)


def _refuse_writes(fd: int, refuse: bool) -> None:
    fcntl.ioctl(fd, _BLKROSET, struct.pack("i", refuse))


def _stay_attached(loop: LoopDevice, read_only: bool) -> None:
    """Undo the flags that a failed detach has set."""
    try:
        fd = os.open(loop.path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO):
            return
        raise
    try:
        if not is_same(fd, loop):
            return
        fields = list(_INFO.unpack(_status(fd)))
        fields[8] &= ~_FLAG_AUTOCLEAR
        fcntl.ioctl(fd, _LOOP_SET_STATUS64, _INFO.pack(*fields))
        _refuse_writes(fd, read_only and not fields[8] & _FLAG_READ_ONLY)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
    finally:
        os.close(fd)

"""The devices below targets: the kernel's own, and mapped devices of ours, reached without the kernel.

A kernel block device is opened once and claimed for all of device-mapper, as dm.c's open_table_device
does for all tables: two targets may use it, a mount may not.
"""

import errno
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from thinsim.block.interface import BlockDevice, KernelDevice
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.names import device_number
from thinsim.errors import DeviceMapperError, InvalidValueError

_Answer = TypeVar("_Answer")

OpenBlock = Callable[[str], BlockDevice]
"""Opens a device by the path in a table; ``OSError``, or InvalidValueError when it is no block device."""


class OwnDevice(Protocol):
    """A mapped device of this device-mapper, used by a target of another."""

    number: tuple[int, int]
    users: int

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def granularity(self) -> int:
        """Of discards, bytes; 0 for none."""

    @property
    def writes_zeroes(self) -> bool:
        """Whether it takes write-zeroes requests."""

    @property
    def logical_block(self) -> int:
        """Bytes of the smallest request."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes."""

    async def write(self, offset: int, data: bytes) -> None:
        """Write all of *data*."""

    async def discard(self, offset: int, length: int) -> None:
        """Give the range back."""

    async def punch(self, offset: int, length: int) -> None:
        """Make the range read as zeros and give it back if possible."""

    async def zero(self, offset: int, length: int) -> None:
        """Write zeros."""

    async def flush(self) -> None:
        """Make durable."""

    def release(self) -> None:
        """A target uses it no more."""


class LowerDevice(Protocol):
    """An open device below a target. I/O in bytes, raising DeviceMapperError."""

    number: tuple[int, int]

    @property
    def text(self) -> str:
        """``major:minor``."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def granularity(self) -> int:
        """Of discards, bytes; 0 when it takes none."""

    @property
    def writes_zeroes(self) -> bool:
        """Whether it takes write-zeroes requests."""

    @property
    def logical_block(self) -> int:
        """Bytes of the smallest request."""

    @property
    def block(self) -> BlockDevice:
        """The same device for code that blocks, on a worker thread."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes."""

    async def write(self, offset: int, data: bytes) -> None:
        """Write all of *data*."""

    async def discard(self, offset: int, length: int) -> None:
        """Give the range back."""

    async def punch(self, offset: int, length: int) -> None:
        """Make the range read as zeros and give it back if possible."""

    async def zero(self, offset: int, length: int) -> None:
        """Write zeros."""

    async def flush(self) -> None:
        """Make durable."""

    async def close(self) -> None:
        """One user less; idempotent per :meth:`LowerDevices.open`."""


class LowerDevices:
    """Opens and shares what tables name."""

    def __init__(
        self,
        find_own: Callable[[str], Awaitable[OwnDevice | None]],
        open_block: OpenBlock,
        run: Runner,
        open_origin: OpenBlock,
    ) -> None:
        self._find_own = find_own
        self._open_block = open_block
        self._open_origin = open_origin
        self.run = run
        self._shared: dict[str, _Kernel] = {}

    async def own(self, word: str) -> OwnDevice | None:
        """Return the mapped device that *word* (a path or major:minor) names; None if it is none of ours."""
        return await self._find_own(word)

    async def open_read_only(self, word: str, complaint: str) -> LowerDevice:
        """As :meth:`open`, for a device that is only read, which others may have open."""
        return await self._open(word, complaint, self._open_origin, " read-only")

    async def open(self, word: str, complaint: str) -> LowerDevice:
        """Open a device by its path or major:minor; DeviceMapperError with the errno of opening it."""
        return await self._open(word, complaint, self._open_block, "")

    async def _open(self, word: str, complaint: str, open_block: OpenBlock, use: str) -> LowerDevice:
        own = await self._find_own(word)
        if own is not None:
            own.users += 1
            return _Own(own)
        path = _path(word, complaint)
        key = path + use
        shared = self._shared.get(key)
        if shared is None:
            try:
                block: BlockDevice = await self.run(open_block, path)
            except (FileNotFoundError, InvalidValueError) as error:
                # Whatever is no path of a block device is no device (dm-table.c, dm_get_dev_t).
                raise DeviceMapperError(errno.ENODEV, f"{complaint}: {word}: {error}") from error
            except OSError as error:
                raise DeviceMapperError(error.errno or errno.EIO, f"{complaint}: {word}") from error
            shared = self._shared[key] = _Kernel(path, block, self.run, lambda _: self._shared.pop(key))
        shared.users += 1
        return _Use(shared)


def _path(word: str, complaint: str) -> str:
    """Return the path of what a table names by path or major:minor; ENXIO for a number of no device."""
    if not re.fullmatch(r"\d+:\d+", word, re.ASCII):
        return word
    try:
        return f"/dev/{(Path('/sys/dev/block') / word).resolve(strict=True).name}"
    except FileNotFoundError as error:
        raise DeviceMapperError(errno.ENXIO, f"{complaint}: no device {word}") from error


class _Kernel:
    """A kernel block device, shared by its users."""

    def __init__(self, word: str, block: BlockDevice, run: Runner, forget: Callable[[str], object]) -> None:
        major, _, minor = device_number(word).partition(":")
        self.word = word
        self.number = (int(major), int(minor))
        self.block = block
        self.users = 0
        self._run = run
        self._forget = forget

    async def act(self, function: Callable[..., object], *arguments: object) -> object:
        """Run blocking I/O; EIO also for what a system call finds wrong with a request (blk-core.c)."""
        try:
            return await self._run(function, *arguments)
        except OSError as error:
            number = error.errno if error.errno not in (None, errno.EINVAL) else errno.EIO
            raise DeviceMapperError(number or errno.EIO, f"{self.word}: {error.strerror}") from error

    async def release(self) -> None:
        """One user less; the last one closes."""
        self.users -= 1
        if not self.users:
            self._forget(self.word)
            with trio.CancelScope(shield=True):
                await self._run(self.block.close)


class _Use:
    """One use of a kernel block device."""

    def __init__(self, shared: _Kernel) -> None:
        self._shared = shared
        self.number = shared.number
        self._closed = False

    @property
    def text(self) -> str:
        return f"{self.number[0]}:{self.number[1]}"

    @property
    def size(self) -> int:
        return self._shared.block.size

    @property
    def granularity(self) -> int:
        block = self._shared.block
        if not block.max_discard_bytes:
            return 0
        return max(block.discard_granularity if isinstance(block, KernelDevice) else 0, 512)

    @property
    def writes_zeroes(self) -> bool:
        block = self._shared.block
        return isinstance(block, KernelDevice) and block.max_write_zeroes_bytes > 0

    @property
    def logical_block(self) -> int:
        block = self._shared.block
        return block.logical_block_size if isinstance(block, KernelDevice) else 512

    @property
    def block(self) -> BlockDevice:
        return self._shared.block

    async def read(self, offset: int, length: int) -> bytes:
        answer = await self._shared.act(self._shared.block.read, offset, length)
        assert isinstance(answer, bytes)
        return answer

    async def write(self, offset: int, data: bytes) -> None:
        await self._shared.act(self._shared.block.write, offset, data)

    async def discard(self, offset: int, length: int) -> None:
        await self._shared.act(self._shared.block.discard, offset, length)

    async def punch(self, offset: int, length: int) -> None:
        block = self._shared.block
        if not isinstance(block, KernelDevice):
            await self._shared.act(block.discard, offset, length)  # a file: a hole reads as zeros
            return
        try:
            await self._shared.act(block.punch, offset, length)
        except DeviceMapperError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            await self._shared.act(block.zero, offset, length)

    async def zero(self, offset: int, length: int) -> None:
        block = self._shared.block
        if isinstance(block, KernelDevice):
            await self._shared.act(block.zero, offset, length)
        else:
            await self.write(offset, bytes(length))

    async def flush(self) -> None:
        await self._shared.act(self._shared.block.flush)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._shared.release()


class _Own:
    """One use of a mapped device of ours."""

    def __init__(self, device: OwnDevice) -> None:
        self._device = device
        self.number = device.number
        self._closed = False

    @property
    def text(self) -> str:
        return f"{self.number[0]}:{self.number[1]}"

    @property
    def size(self) -> int:
        return self._device.size

    @property
    def granularity(self) -> int:
        return self._device.granularity

    @property
    def writes_zeroes(self) -> bool:
        return self._device.writes_zeroes

    @property
    def logical_block(self) -> int:
        return self._device.logical_block

    @property
    def block(self) -> BlockDevice:
        return _OwnBlock(self._device)

    async def read(self, offset: int, length: int) -> bytes:
        return await self._device.read(offset, length)

    async def write(self, offset: int, data: bytes) -> None:
        await self._device.write(offset, data)

    async def discard(self, offset: int, length: int) -> None:
        await self._device.discard(offset, length)

    async def punch(self, offset: int, length: int) -> None:
        await self._device.punch(offset, length)

    async def zero(self, offset: int, length: int) -> None:
        await self._device.zero(offset, length)

    async def flush(self) -> None:
        await self._device.flush()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._device.release()


class _OwnBlock:
    """A mapped device of ours for code on a worker thread: each request goes back to the event loop."""

    def __init__(self, device: OwnDevice) -> None:
        self._device = device

    @property
    def size(self) -> int:
        return self._device.size

    @property
    def max_discard_bytes(self) -> int:
        return self._device.size if self._device.granularity else 0

    def read(self, offset: int, length: int) -> bytes:
        return _from_thread(self._device.read, offset, length)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        _from_thread(self._device.write, offset, bytes(data))

    def discard(self, offset: int, length: int) -> None:
        _from_thread(self._device.discard, offset, length)

    def flush(self) -> None:
        _from_thread(self._device.flush)

    def close(self) -> None:
        """The use is closed by whoever opened it."""


def _from_thread(function: Callable[..., Awaitable[_Answer]], *arguments: object) -> _Answer:
    try:
        return trio.from_thread.run(function, *arguments)
    except DeviceMapperError as error:
        raise OSError(error.errno, str(error)) from error

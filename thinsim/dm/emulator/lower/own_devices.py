"""`OwnDeviceUse` and `OwnBlock` reach a mapped device of this device-mapper without the kernel.

`OwnDeviceUse` is for the event loop, `OwnBlock` for a worker thread.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.lower.interface import OwnDevice
from thinsim.errors import DeviceMapperError

_Answer = TypeVar("_Answer")


class OwnDeviceUse:
    """An `OwnDeviceUse` is one use of a mapped device of this device-mapper."""

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
        return OwnBlock(self._device)

    async def read(self, offset: int, length: int) -> bytes:
        return await self._device.read(offset, length)

    async def write(self, offset: int, data: bytes | memoryview) -> None:
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


class OwnBlock:
    """An `OwnBlock` is a mapped device for code on a worker thread: each request runs on the event loop."""

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
        """Do nothing: the code that opened the device ends its use."""


def _from_thread(function: Callable[..., Awaitable[_Answer]], *arguments: object) -> _Answer:
    try:
        return trio.from_thread.run(function, *arguments)
    except DeviceMapperError as error:
        raise OSError(error.errno, str(error)) from error

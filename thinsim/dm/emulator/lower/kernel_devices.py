"""A `SharedBlock` is one opened kernel block device that several targets use.

It is claimed for all of device-mapper, as dm.c's open_table_device does for all tables: two targets may use
it, a mount may not.
"""

import errno
from collections.abc import Callable

import trio

from thinsim.block.interface import BlockDevice, KernelDevice
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.names import device_number
from thinsim.errors import DeviceMapperError


class SharedBlock:
    """A `SharedBlock` is a kernel block device with one or more users."""

    def __init__(self, word: str, block: BlockDevice, run: Runner, forget: Callable[[str], object]) -> None:
        major, _, minor = device_number(word).partition(":")
        self.word = word
        self.number = (int(major), int(minor))
        self.block = block
        self.users = 0
        self._run = run
        self._forget = forget

    async def act(self, function: Callable[..., object], *arguments: object) -> object:
        """Run blocking I/O; EIO also if the system call rejects the request (blk-core.c)."""
        try:
            return await self._run(function, *arguments)
        except OSError as error:
            number = error.errno if error.errno not in (None, errno.EINVAL) else errno.EIO
            raise DeviceMapperError(number or errno.EIO, f"{self.word}: {error.strerror}") from error

    async def release(self) -> None:
        """End one use; the last one closes the device."""
        self.users -= 1
        if not self.users:
            self._forget(self.word)
            with trio.CancelScope(shield=True):
                await self._run(self.block.close)


class SharedBlockUse:
    """A `SharedBlockUse` is one use of a kernel block device."""

    def __init__(self, shared: SharedBlock) -> None:
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

    async def write(self, offset: int, data: bytes | memoryview) -> None:
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

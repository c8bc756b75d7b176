"""Says what a target asks of a device below it, and what a mapped device gives for that.

I/O is in bytes and raises DeviceMapperError.
"""

from typing import Protocol

from thinsim.block.interface import BlockDevice


class DeviceBelow(Protocol):
    """What a target uses of a device below it, whatever that is. I/O in bytes, raising DeviceMapperError."""

    number: tuple[int, int]

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


class OwnDevice(DeviceBelow, Protocol):
    """A mapped device of this device-mapper, used by a target of another."""

    users: int

    def release(self) -> None:
        """A target uses it no more."""


class LowerDevice(DeviceBelow, Protocol):
    """An open device below a target."""

    @property
    def text(self) -> str:
        """``major:minor``."""

    @property
    def block(self) -> BlockDevice:
        """The same device for code that blocks, on a worker thread."""

    async def close(self) -> None:
        """One user less; idempotent per :meth:`LowerDevices.open`."""

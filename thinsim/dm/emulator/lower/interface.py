"""A `DeviceBelow` is what a target needs of a device below it, and what a mapped device provides.

I/O is in bytes and raises DeviceMapperError.
"""

from typing import Protocol

from thinsim.block.interface import BlockDevice


class DeviceBelow(Protocol):
    """A `DeviceBelow` is any device that a target uses. I/O is in bytes and raises DeviceMapperError."""

    number: tuple[int, int]

    @property
    def size(self) -> int:
        """Return the size in bytes."""

    @property
    def granularity(self) -> int:
        """Return the discard granularity in bytes; 0 if the device takes no discards."""

    @property
    def writes_zeroes(self) -> bool:
        """Return whether the device takes write-zeroes requests."""

    @property
    def logical_block(self) -> int:
        """Return the size of the smallest request in bytes."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes."""

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of *data*."""

    async def discard(self, offset: int, length: int) -> None:
        """Free the range."""

    async def punch(self, offset: int, length: int) -> None:
        """Make the range read as zeros and free it if possible."""

    async def zero(self, offset: int, length: int) -> None:
        """Write zeros."""

    async def flush(self) -> None:
        """Make earlier writes durable."""


class OwnDevice(DeviceBelow, Protocol):
    """An `OwnDevice` is a mapped device of this device-mapper that a target of another device uses."""

    users: int

    def release(self) -> None:
        """End the use by one target."""


class LowerDevice(DeviceBelow, Protocol):
    """A `LowerDevice` is an open device below a target."""

    @property
    def text(self) -> str:
        """Return ``major:minor``."""

    @property
    def block(self) -> BlockDevice:
        """Return the same device for blocking code on a worker thread."""

    async def close(self) -> None:
        """End one use; idempotent per :meth:`LowerDevices.open`."""

"""Lends a block device, which its owner closes, to users that close what they are given."""

from thinsim.block.interface import BlockDevice


class Borrowed:
    """A BlockDevice that passes everything on but the closing."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device

    @property
    def size(self) -> int:
        """Bytes."""
        return self._device.size

    @property
    def max_discard_bytes(self) -> int:
        """The longest single discard in bytes."""
        return self._device.max_discard_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*."""
        return self._device.read(offset, length)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of *data* at *offset*."""
        self._device.write(offset, data)

    def discard(self, offset: int, length: int) -> None:
        """Give the range back."""
        self._device.discard(offset, length)

    def flush(self) -> None:
        """Return once everything written is durable."""
        self._device.flush()

    def close(self) -> None:
        """Nothing: it is the owner's."""

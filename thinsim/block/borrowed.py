"""`Borrowed` lends a block device to a user that closes it, and leaves the device open for its owner."""

from thinsim.block.interface import BlockDevice


class Borrowed:
    """A `Borrowed` passes each call to the device of its owner, except ``close``."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device

    @property
    def size(self) -> int:
        return self._device.size

    @property
    def max_discard_bytes(self) -> int:
        return self._device.max_discard_bytes

    def read(self, offset: int, length: int) -> bytes:
        return self._device.read(offset, length)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self._device.write(offset, data)

    def discard(self, offset: int, length: int) -> None:
        self._device.discard(offset, length)

    def flush(self) -> None:
        self._device.flush()

    def close(self) -> None:
        """Leave the device open: its owner closes it."""

"""A pool's metadata device as the engine sees it: numbered blocks of 4 KiB."""

from thinsim.block.interface import BlockDevice
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE


class MetadataDevice:
    """A MetadataStore on a block device; ``OSError`` from the device."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device

    @property
    def blocks(self) -> int:
        """See MetadataStore."""
        return self._device.size // METADATA_BLOCK_SIZE

    def read(self, block: int) -> bytes:
        """See MetadataStore."""
        return self._device.read(block * METADATA_BLOCK_SIZE, METADATA_BLOCK_SIZE)

    def write(self, block: int, content: bytes) -> None:
        """See MetadataStore."""
        self._device.write(block * METADATA_BLOCK_SIZE, content)

    def flush(self) -> None:
        """See MetadataStore."""
        self._device.flush()

    def close(self) -> None:
        """Close the device; idempotent."""
        self._device.close()

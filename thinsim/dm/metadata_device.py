"""The metadata device of a pool: load the last whole image at activation, save one at each commit."""

from thinsim.block.interface import BlockDevice
from thinsim.thin.metadata.image import METADATA_BLOCK_SIZE, decode
from thinsim.thin.metadata.slots import HEADER_SIZE, choose, plan_save, slot_offset
from thinsim.thin.state import PoolState

_SECTOR = 512


class MetadataDevice:
    """Loads and saves whole images in two alternating slots; closes its device."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device
        self._generation = 0

    @property
    def blocks(self) -> int:
        """4 KiB blocks of the device."""
        return self._device.size // METADATA_BLOCK_SIZE

    def load(self) -> PoolState | None:
        """Return what was saved last; None on a fresh (zeroed) device.

        MetadataDamagedError for anything that is not a pool of ours; nothing is written then.
        """
        header = choose(*(self._device.read(slot_offset(slot), HEADER_SIZE) for slot in (0, 1)))
        if header is None:
            return None
        image = b"".join(
            self._device.read(offset, _whole_sectors(length))[:length] for offset, length in header.pieces()
        )
        state = decode(header.check(image))
        self._generation = header.generation
        return state

    def save(self, image: bytes) -> None:
        """Make *image* durable: all of it first, then the header that names it. ``OSError``, ENOSPC."""
        *pieces, header = plan_save(image, self._generation + 1, self._device.size)
        for offset, piece in pieces:
            self._device.write(offset, piece.ljust(_whole_sectors(len(piece)), b"\0"))
        self._device.flush()
        self._device.write(*header)
        self._device.flush()
        self._generation += 1

    def close(self) -> None:
        """Close the device; idempotent."""
        self._device.close()


def _whole_sectors(length: int) -> int:
    return -(-length // _SECTOR) * _SECTOR

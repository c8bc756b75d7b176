"""`PoolShape` describes a pool: its name, sizes, data block size, low water mark and features."""

from dataclasses import dataclass

from thinsim.units import Bytes, Sectors, bytes_of, sectors

_DATA_SIZE = Bytes(2 << 30)
_METADATA_SIZE = Bytes(64 << 20)
_BLOCK_SIZE = Sectors(128)


@dataclass(frozen=True, slots=True)
class PoolShape:
    """A `PoolShape` is by default the pool in the containerd documentation, with smaller sizes."""

    name: str
    data_size: Bytes = _DATA_SIZE
    metadata_size: Bytes = _METADATA_SIZE
    block_size: Sectors = _BLOCK_SIZE
    low_water_blocks: int = 0
    features: tuple[str, ...] = ("skip_block_zeroing",)

    def table(self, metadata_device: str, data_device: str) -> str:
        """Return the pool's table line."""
        return (
            f"0 {sectors(self.data_size)} thin-pool {metadata_device} {data_device} {self.block_size} "
            f"{self.low_water_blocks} {' '.join([str(len(self.features)), *self.features])}"
        )

    @property
    def block_bytes(self) -> int:
        """Return the data block size in bytes."""
        return bytes_of(self.block_size)

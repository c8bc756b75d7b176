"""The set-up by the script of containerd's documentation: sparse files, loop devices, a pool on them. Pure.

Its sizes, its block size, its low water mark, and no feature words (docs/snapshotters/devmapper.md). So new
blocks are zeroed, and a partly written one takes all its bytes on the host.
"""

from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes, Sectors

SHAPE = PoolShape(
    "devpool",
    data_size=Bytes(100 << 30),
    metadata_size=Bytes(10 << 30),
    block_size=Sectors(128),
    low_water_blocks=32768,
    features=(),
)

"""`Contents` selects the data on a rig's pool: an image and a container, a recorded history, or blocks."""

from dataclasses import dataclass

from thinsim.rig.kernel_pool import PoolMaker
from thinsim.workload.block_history import BlockHistory
from thinsim.workload.image.archive import NO_IMAGE, Image


@dataclass(frozen=True, slots=True)
class Contents:
    """`Contents` are an image and a container of *container_bytes*, or the writes of a *played* history.

    *record* receives the block writes of every act, on a rig that sees writes.
    """

    image: Image = NO_IMAGE
    container_bytes: int = 0
    played: BlockHistory | None = None
    record: BlockHistory | None = None
    bare: bool = False
    """The caller writes blocks itself. On a rig that mounts nothing, mkfs writes one data block."""
    make_pool: PoolMaker | None = None
    """Sets up the pool in a shape of its own, on a rig that takes set-ups. None: on two loop devices."""


NOTHING = Contents()
BARE = Contents(bare=True)

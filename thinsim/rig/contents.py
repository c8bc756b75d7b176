"""Says what goes on a rig's pool: an image and a container, a recorded history, or nothing but blocks."""

from dataclasses import dataclass

from thinsim.rig.kernel_pool import PoolMaker
from thinsim.workload.block_history import BlockHistory
from thinsim.workload.image.archive import NO_IMAGE, Image


@dataclass(frozen=True, slots=True)
class Contents:
    """An image and a container of so many bytes, or the writes of a *played* history.

    With *record* the block writes of every act are noted in it, where the rig sees them.
    """

    image: Image = NO_IMAGE
    container_bytes: int = 0
    played: BlockHistory | None = None
    record: BlockHistory | None = None
    bare: bool = False
    """Whoever uses the rig writes blocks itself: where nothing can be mounted, mkfs writes one block."""
    make_pool: PoolMaker | None = None
    """Sets the pool up in its own shape, where the rig takes set-ups; None: on two loop devices."""


NOTHING = Contents()
BARE = Contents(bare=True)

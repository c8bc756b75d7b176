"""Says what a scenario does to a mounted snapshot: the seam between real files and played writes."""

from collections.abc import Sequence
from typing import Protocol

from thinsim.snapshotter.interface import Mount


class Workload(Protocol):
    """An image to import and a container to run on it. Each act leaves nothing unwritten."""

    @property
    def layer_count(self) -> int:
        """How many layers the image has."""

    async def unpack(self, number: int, mounts: Sequence[Mount]) -> None:
        """Apply layer *number* (from 1, the lowest) of the image."""

    async def run_container(self, mounts: Sequence[Mount]) -> None:
        """Create, overwrite and delete files as a container would."""

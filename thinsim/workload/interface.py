"""A `Workload` writes to a mounted snapshot for a scenario, with real files or with replayed writes."""

from collections.abc import Sequence
from typing import Protocol

from thinsim.snapshotter.interface import Mount


class Workload(Protocol):
    """A `Workload` imports an image and runs a container on it. Each act writes all its data back.

    An act returns the number of bytes of the files that it wrote, or None if it is unknown.
    """

    @property
    def layer_count(self) -> int:
        """Return the number of layers of the image."""

    async def unpack(self, number: int, mounts: Sequence[Mount]) -> int | None:
        """Apply layer *number* (from 1, the lowest) of the image."""

    async def run_container(self, mounts: Sequence[Mount]) -> int | None:
        """Create, overwrite and delete files as a container would."""

"""Says what is done to a mounted snapshot's files: the seam between real file systems and block ones.

Implementations: ``thinsim.workload.mounted_files`` on mounts, ``thinsim.workload.extent_filesystem``
where nothing can be mounted.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from thinsim.snapshotter.interface import Mount
from thinsim.workload.image.archive import Image


class SnapshotFiles(Protocol):
    """What a scenario does to the files of a snapshot. Each act leaves nothing unwritten.

    A *name* stands for a tree of files that one act made. Sizes in bytes. What the file system refuses
    raises OSError or KernelError; a *name* that is not there, FileNotFoundError.
    """

    async def write(self, mounts: Sequence[Mount], name: str, size: int) -> None:
        """Make *name*, *size* bytes of new files that do not compress. FileExistsError."""

    async def overwrite(self, mounts: Sequence[Mount], name: str, size: int) -> None:
        """Write the first *size* bytes of *name* anew, in place."""

    async def delete(self, mounts: Sequence[Mount], name: str) -> None:
        """Delete *name*; its blocks go back to the file system, which discards nothing."""

    async def trim(self, mounts: Sequence[Mount]) -> None:
        """Discard what the file system has free, as fstrim(8) does."""

    async def unpack(self, mounts: Sequence[Mount], image: Image, number: int) -> None:
        """Apply layer *number* (from 1, the lowest) of *image*. InvalidValueError without mounts."""

    async def run_container(self, mounts: Sequence[Mount], size: int) -> None:
        """Work as a container that leaves *size* bytes of new files, and overwrites and deletes others."""

    async def claim(self, device: Path) -> Callable[[], None]:
        """Open *device* so that it is busy; what is returned closes it again."""

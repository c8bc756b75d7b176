"""`SnapshotFiles` changes the files of a snapshot, on a real file system or on a simulated one.

``thinsim.workload.mounted_files`` implements it on mounts, ``thinsim.workload.extent_filesystem`` for rigs
that cannot mount.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from thinsim.snapshotter.interface import Mount
from thinsim.workload.image.archive import Image


class SnapshotFiles(Protocol):
    """A `SnapshotFiles` changes the files of a snapshot. Each act writes all its data back.

    A *name* names a tree of files that one act made. Sizes are in bytes. The acts that write return the
    number of bytes that they wrote. Raises OSError or KernelError if the
    file system refuses an act, FileNotFoundError if *name* does not exist.
    """

    async def write(self, mounts: Sequence[Mount], name: str, size: int) -> int:
        """Make *name*, *size* bytes of new incompressible files. Raises FileExistsError if *name* exists."""

    async def overwrite(self, mounts: Sequence[Mount], name: str, size: int) -> int:
        """Overwrite the first *size* bytes of *name* in place."""

    async def delete(self, mounts: Sequence[Mount], name: str) -> None:
        """Delete *name*. The file system frees its blocks, but discards nothing."""

    async def trim(self, mounts: Sequence[Mount]) -> None:
        """Discard the file system's free blocks, as fstrim(8) does."""

    async def unpack(self, mounts: Sequence[Mount], image: Image, number: int) -> int:
        """Apply layer *number* (from 1, the lowest) of *image*.

        Raises InvalidValueError if the implementation has no mounts.
        """

    async def run_container(self, mounts: Sequence[Mount], size: int) -> int:
        """Write as a container does: leave *size* bytes of new files, overwrite and delete others."""

    async def claim(self, device: Path) -> Callable[[], None]:
        """Open *device*, so that it is busy; return a function that closes it."""

"""`MountedWorkload` unpacks layers and runs containers on mounted snapshots."""

from collections.abc import Sequence
from pathlib import Path

from thinsim.snapshotter.host import Mounter
from thinsim.snapshotter.interface import Mount
from thinsim.workload.image.archive import Image
from thinsim.workload.mounted_files import MountedFiles


class MountedWorkload:
    """A `MountedWorkload` is a Workload that mounts snapshots on *directory*.

    It unpacks *image* and runs a container that leaves *container_bytes* bytes.
    """

    def __init__(self, mounter: Mounter, directory: Path, image: Image, container_bytes: int) -> None:
        self._files = MountedFiles(mounter, directory)
        self._image = image
        self._container_bytes = container_bytes

    @property
    def layer_count(self) -> int:
        return len(self._image.layers)

    async def unpack(self, number: int, mounts: Sequence[Mount]) -> int:
        return await self._files.unpack(mounts, self._image, number)

    async def run_container(self, mounts: Sequence[Mount]) -> int:
        return await self._files.run_container(mounts, self._container_bytes)

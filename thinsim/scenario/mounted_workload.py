"""The workload on real mounts: layers unpacked and containers run on a mounted snapshot."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from thinsim.scenario.container_files import write_container_files
from thinsim.scenario.image.archive import Image
from thinsim.scenario.image.unpack import unpack_layer
from thinsim.snapshotter.host import Mounter
from thinsim.snapshotter.interface import Mount


class MountedWorkload:
    """Mounts a snapshot on *directory*, works on its files and unmounts it, which writes everything back."""

    def __init__(self, mounter: Mounter, directory: Path, image: Image, container_bytes: int) -> None:
        self._mounter = mounter
        self._target = directory
        self._image = image
        self._container_bytes = container_bytes

    @property
    def layer_count(self) -> int:
        """See Workload."""
        return len(self._image.layers)

    async def unpack(self, number: int, mounts: Sequence[Mount]) -> None:
        """See Workload."""
        layer = self._image.layers[number - 1]

        def unpack(root: Path) -> None:
            with layer.open() as stream:
                unpack_layer(stream, root, progress=_cancellable)

        await self._on_mount(mounts, unpack)

    async def run_container(self, mounts: Sequence[Mount]) -> None:
        """See Workload."""
        await self._on_mount(
            mounts, partial(write_container_files, size=self._container_bytes, progress=_cancellable)
        )

    async def _on_mount(self, mounts: Sequence[Mount], work: Callable[[Path], object]) -> None:
        async with self._mounted(mounts) as root:
            # On a thread: the files end in servers, which must not wait for this event loop.
            await trio.to_thread.run_sync(work, root)

    @asynccontextmanager
    async def _mounted(self, mounts: Sequence[Mount]) -> AsyncIterator[Path]:
        (mount,) = mounts
        await self._mounter.mount(mount.source, self._target, mount.type, mount.options)
        try:
            yield self._target
        finally:
            await self._mounter.unmount(self._target)


def _cancellable(done: int) -> None:
    """Called between pieces of work: a cancelled run stops here instead of at the end."""
    trio.from_thread.check_cancelled()

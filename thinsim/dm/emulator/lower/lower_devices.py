"""`LowerDevices` opens the devices that tables name: the kernel's, and this device-mapper's own."""

import errno
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.lower.interface import LowerDevice, OwnDevice
from thinsim.dm.emulator.lower.kernel_devices import SharedBlock, SharedBlockUse
from thinsim.dm.emulator.lower.own_devices import OwnDeviceUse
from thinsim.dm.emulator.runner import Runner
from thinsim.errors import DeviceMapperError, InvalidValueError

OpenBlock = Callable[[str], BlockDevice]
"""An `OpenBlock` opens a device by the path in a table.

It raises ``OSError``, or InvalidValueError if the path is not one of a block device.
"""


class LowerDevices:
    """`LowerDevices` opens the devices that tables name, and shares them among targets."""

    def __init__(
        self,
        find_own: Callable[[str], Awaitable[OwnDevice | None]],
        open_block: OpenBlock,
        run: Runner,
        open_origin: OpenBlock,
    ) -> None:
        self._find_own = find_own
        self._open_block = open_block
        self._open_origin = open_origin
        self.run = run
        self._shared: dict[str, SharedBlock] = {}

    async def own(self, word: str) -> OwnDevice | None:
        """Return the mapped device of ours that *word* (a path or major:minor) names, or None."""
        return await self._find_own(word)

    async def open_read_only(self, word: str, complaint: str) -> LowerDevice:
        """Open a device like :meth:`open`, but only for reads; other programs may have it open."""
        return await self._open(word, complaint, self._open_origin, " read-only")

    async def open(self, word: str, complaint: str) -> LowerDevice:
        """Open a device by its path or major:minor.

        DeviceMapperError with the errno of the open; its text begins with *complaint*.
        """
        return await self._open(word, complaint, self._open_block, "")

    async def _open(self, word: str, complaint: str, open_block: OpenBlock, use: str) -> LowerDevice:
        own = await self._find_own(word)
        if own is not None:
            own.users += 1
            return OwnDeviceUse(own)
        path = _path(word, complaint)
        key = path + use
        shared = self._shared.get(key)
        if shared is None:
            try:
                block: BlockDevice = await self.run(open_block, path)
            except (FileNotFoundError, InvalidValueError) as error:
                # A path that is not one of a block device is no device (dm-table.c, dm_get_dev_t).
                raise DeviceMapperError(errno.ENODEV, f"{complaint}: {word}: {error}") from error
            except OSError as error:
                raise DeviceMapperError(error.errno or errno.EIO, f"{complaint}: {word}") from error
            shared = self._shared[key] = SharedBlock(path, block, self.run, lambda _: self._shared.pop(key))
        shared.users += 1
        return SharedBlockUse(shared)


def _path(word: str, complaint: str) -> str:
    """Return the path of the device that *word* names by path or major:minor; ENXIO for an unused number."""
    if not re.fullmatch(r"\d+:\d+", word, re.ASCII):
        return word
    try:
        return f"/dev/{(Path('/sys/dev/block') / word).resolve(strict=True).name}"
    except FileNotFoundError as error:
        raise DeviceMapperError(errno.ENXIO, f"{complaint}: device {word} does not exist") from error

"""`look_up` reads a pool's metadata while others go on with their I/O."""

import errno
from collections.abc import Callable
from typing import TypeVar

from thinsim.dm.emulator.runner import Runner
from thinsim.errors import DeviceMapperError, KernelError
from thinsim.thin.metadata.blocks import BlockCache, BlockNotResidentError

_T = TypeVar("_T")


async def look_up(blocks: BlockCache, run: Runner, look: Callable[[], _T]) -> _T:
    """Return the result of *look*. A block that is not in memory is fetched by *run*, and *look* runs again.

    The kernel does so with its non-blocking clone of the transaction manager (dm_thin_find_block). EIO: the
    block can't be read, or is damaged.
    """
    while True:
        blocks.resident_only = True
        try:
            return look()
        except BlockNotResidentError as missing:
            number = missing.number
        finally:
            blocks.resident_only = False
        try:
            blocks.admit(number, await run(blocks.fetch, number))
        except (OSError, KernelError) as error:
            raise DeviceMapperError(errno.EIO, f"metadata can't be read: {error}") from error

"""A write that needs a data block where there is none meets these errors (handle_unserviceable_bio)."""

import errno

from thinsim.errors import DeviceMapperError


class Unserviceable(DeviceMapperError):  # noqa: N818 (the kernel's word)
    """The first block of the request can't be served; others of it may be.

    The kernel serves a request block by block: an executor goes on with the next block and ends the
    whole request with this error. Nothing has changed but the pool's mode.
    """


class NoDataSpace(Unserviceable):
    """ENOSPC: no data block is free."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ENOSPC, text)


class OutOfDataSpace(NoDataSpace):
    """As NoDataSpace, under queue_if_no_space: the block may wait for space instead of failing."""


class NotWritable(Unserviceable):
    """EIO: the pool is read-only and gives out no blocks."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the pool is read-only")

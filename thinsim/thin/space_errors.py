"""A write raises these errors when it needs a data block and gets none (handle_unserviceable_bio)."""

import errno

from thinsim.errors import DeviceMapperError


class Unserviceable(DeviceMapperError):  # noqa: N818 (the kernel's word)
    """The pool can't serve the first block of the request; it may be able to serve later blocks.

    The kernel serves a request block by block, so an executor continues with the next block and ends the
    whole request with this error. Only the pool's mode has changed.
    """


class NoDataSpace(Unserviceable):
    """ENOSPC: no data block is free."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ENOSPC, text)


class OutOfDataSpace(NoDataSpace):
    """No data block is free under queue_if_no_space: the block may wait for space instead of failing."""


class NotWritable(Unserviceable):
    """EIO: the pool is read-only and allocates no blocks."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the pool is read-only")

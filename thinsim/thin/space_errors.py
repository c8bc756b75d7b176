"""What a write that needs a data block meets when there is none (dm-thin.c, alloc_data_block)."""

import errno

from thinsim.errors import DeviceMapperError


class CommitNeeded(Exception):  # noqa: N818 (no failure: the executor commits and plans again)
    """No block is free before a commit; nothing has changed. Commit, then plan the same write again."""


class NoDataSpace(DeviceMapperError):  # noqa: N818 (the kernel's words)
    """ENOSPC: no data block is free. Nothing has changed but the pool's mode."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ENOSPC, text)


class OutOfDataSpace(NoDataSpace):
    """As NoDataSpace, under queue_if_no_space: the write may wait for space instead of failing."""


class ShortOfDataSpace(NoDataSpace):
    """There are blocks for the beginning of the request only; nothing has changed, not even the mode.

    The kernel serves a request block by block, so a long write fills the pool before it fails. An
    executor does the same by planning the first ``writable`` bytes, then the rest.
    """

    def __init__(self, text: str, writable: int) -> None:
        super().__init__(text)
        self.writable = writable

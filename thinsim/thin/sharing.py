"""Sharing tells which mappings count as shared, and breaks it by a copy (dm-thin.c, break_sharing).

A write to a shared mapping gets a data block of its own (see ``provisioning``); a discard of one passes
down only what nobody else maps (see ``passdown``).
"""

from thinsim.thin.plan import CopyData


def is_shared(mapped_at: int, snapshotted_time: int) -> bool:
    """Return whether a mapping made at time *mapped_at* counts as shared.

    It does from its device's last snapshot on, at *snapshotted_time*, even when that snapshot is gone: only
    the data block's reference count tells whether others map it (dm-thin-metadata.c, __snapshotted_since).
    """
    return snapshotted_time > mapped_at


def break_sharing(shared_block: int, new_block: int, block_size: int) -> CopyData:
    """Return the copy that gives *new_block* the content of *shared_block* (schedule_copy).

    The data blocks are numbers, *block_size* is in bytes.
    """
    return CopyData(shared_block * block_size, new_block * block_size, block_size)

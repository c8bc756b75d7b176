"""A snapshot makes devices share data blocks, and a write breaks the sharing (dm-thin.c, break_sharing).

A write to a shared mapping gets a new data block (see ``provisioning``). A discard of a shared mapping
passes a data block down only if no other mapping uses it (see ``passdown``).
"""

from thinsim.thin.plan import CopyData


def is_shared(mapped_at: int, snapshotted_time: int) -> bool:
    """Return whether a mapping made at time *mapped_at* counts as shared.

    A mapping counts as shared if it is older than its device's last snapshot, at *snapshotted_time*, even
    if that snapshot was deleted (dm-thin-metadata.c, __snapshotted_since). Only the data block's reference
    count shows whether another mapping uses it.
    """
    return snapshotted_time > mapped_at


def break_sharing(shared_block: int, new_block: int, block_size: int) -> CopyData:
    """Return the step that copies *shared_block* to *new_block* (schedule_copy).

    Both are data block numbers; *block_size* is in bytes.
    """
    return CopyData(shared_block * block_size, new_block * block_size, block_size)

"""`take_block` allocates a data block, or raises the reason why it cannot (dm-thin.c, alloc_data_block)."""

from thinsim.thin.modes import Modes, PoolMode
from thinsim.thin.space_errors import NoDataSpace, NotWritable, OutOfDataSpace, Unserviceable
from thinsim.thin.transaction import Transaction


def take_block(transaction: Transaction) -> int:
    """Allocate a data block and return its number; the block is in flight until it is mapped or leaked.

    Raises NotWritable in a read-only pool. When no block is free, the pool commits, since that may free
    one; when none is free after that either, raises NoDataSpace or OutOfDataSpace. When the only free
    blocks were freed in the running transaction, the pool raises without a commit, as the kernel does:
    the next commit ends the shortage.
    """
    modes = transaction.modes
    if modes.mode is not PoolMode.WRITE:
        raise unserviceable(modes)
    metadata = transaction.metadata
    free = metadata.data.nr_free
    modes.note_free_blocks(free)
    if not free:
        transaction.commit()
        if not metadata.data.nr_free:
            raise _out_of_space(modes)
    with transaction.changing("allocation of a data block"):
        block = metadata.allocate()
    if block is None:
        raise _out_of_space(modes)
    transaction.in_flight.add([block])
    if not metadata.transaction.free_blocks:
        # Commit before the metadata reserve is used up.
        transaction.commit()
    return block


def unserviceable(modes: Modes) -> Unserviceable:
    """Return the error of a request that needs a block in this mode (handle_unserviceable_bio)."""
    if modes.mode is not PoolMode.OUT_OF_DATA_SPACE:
        return NotWritable()
    if modes.error_if_no_space:
        return NoDataSpace("no free data block")
    return OutOfDataSpace("no free data block; the write may wait")


def _out_of_space(modes: Modes) -> Unserviceable:
    if modes.mode <= PoolMode.OUT_OF_DATA_SPACE:
        modes.switch(PoolMode.OUT_OF_DATA_SPACE)
    return unserviceable(modes)

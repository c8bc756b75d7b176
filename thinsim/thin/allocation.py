"""Allocation takes a data block for a write, or tells why there is none (dm-thin.c, alloc_data_block)."""

from thinsim.thin.modes import Modes, PoolMode
from thinsim.thin.space_errors import NoDataSpace, NotWritable, OutOfDataSpace, Unserviceable
from thinsim.thin.transaction import Transaction


def take_block(transaction: Transaction) -> int:
    """Allocate a data block and return its number; it is in flight until it is mapped or leaked.

    NotWritable in a read-only pool; NoDataSpace or OutOfDataSpace when none is free, after a commit
    to see whether that frees one. Blocks that were all freed in this very transaction don't make
    it commit, as in the kernel: the next commit ends the shortage.
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
        # Before the reserve is used up.
        transaction.commit()
    return block


def unserviceable(modes: Modes) -> Unserviceable:
    """Return what a request that needs a block meets in this mode (handle_unserviceable_bio)."""
    if modes.mode is not PoolMode.OUT_OF_DATA_SPACE:
        return NotWritable()
    if modes.error_if_no_space:
        return NoDataSpace("no free data block")
    return OutOfDataSpace("no free data block, the write may wait")


def _out_of_space(modes: Modes) -> Unserviceable:
    if modes.mode <= PoolMode.OUT_OF_DATA_SPACE:
        modes.switch(PoolMode.OUT_OF_DATA_SPACE)
    return unserviceable(modes)

"""A metadata snapshot holds the trees of one commit until it is released (__reserve_metadata_snap).

Its root is a copy of the superblock; the block number of that copy is the held root. The functions raise
the errors of `PoolMetadata`.
"""

import errno

from thinsim.errors import DeviceMapperError
from thinsim.thin.metadata.superblock import LOCATION, SpaceMapRoot, Superblock
from thinsim.thin.metadata.transaction import MetadataTransaction


def held_superblock(transaction: MetadataTransaction) -> Superblock:
    """Return the superblock of the metadata snapshot; ENODATA when none is held."""
    if not transaction.superblock.held_root:
        raise DeviceMapperError(errno.ENODATA, "no metadata snapshot is held")
    return transaction.blocks.get(transaction.superblock.held_root, Superblock)


def reserve_snapshot(transaction: MetadataTransaction) -> None:
    """Commit, then hold the committed trees; EBUSY when a metadata snapshot is already held."""
    transaction.in_service = True
    superblock, space = transaction.superblock, transaction.space
    if superblock.held_root:
        raise DeviceMapperError(
            errno.EBUSY, f"metadata snapshot already held at block {superblock.held_root}"
        )
    transaction.commit()
    transaction.change()
    space.increment(LOCATION, LOCATION + 1)
    held_root, copy, _ = transaction.manager.shadow(LOCATION, Superblock)
    copy.data_space_map = copy.metadata_space_map = SpaceMapRoot()
    for root in (copy.mapping_root, copy.details_root):
        space.increment(root, root + 1)
    superblock.held_root = held_root


def release_snapshot(transaction: MetadataTransaction) -> None:
    """Release the metadata snapshot and its blocks; EINVAL when none is held."""
    transaction.in_service = True
    held_root = transaction.superblock.held_root
    if not held_root:
        raise DeviceMapperError(errno.EINVAL, "no metadata snapshot is held")
    transaction.change()
    copy = transaction.blocks.get(held_root, Superblock)
    transaction.superblock.held_root = 0
    transaction.trees.top.delete(copy.mapping_root)
    transaction.trees.details.delete(copy.details_root)
    transaction.space.decrement(held_root, held_root + 1)

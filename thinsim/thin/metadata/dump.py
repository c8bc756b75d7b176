"""A pool's metadata as text, in the XML form of thin_dump, which thin_restore reads."""

import errno
from collections.abc import Iterator
from typing import NamedTuple

from thinsim.errors import DeviceMapperError
from thinsim.thin.mapping import Run, join
from thinsim.thin.metadata.details import DeviceDetails
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.metadata.superblock import Superblock


class DumpedDevice(NamedTuple):
    """One device; its mappings come as they are read."""

    thin_id: int
    details: DeviceDetails
    runs: Iterator[Run]


def superblock_of(metadata: PoolMetadata, *, held: bool = False) -> Superblock:
    """Return the superblock of the last transaction, or that of the metadata snapshot; ENODATA for none."""
    if not held:
        return metadata.superblock
    if not metadata.superblock.held_root:
        raise DeviceMapperError(errno.ENODATA, "no metadata snapshot is held")
    return metadata.blocks.get(metadata.superblock.held_root, Superblock)


def devices(metadata: PoolMetadata, superblock: Superblock) -> Iterator[DumpedDevice]:
    """Yield the committed devices below *superblock*, ascending by thin id. MetadataDamagedError."""
    trees = metadata.trees
    for thin_id, details in trees.details.entries(superblock.details_root):
        root = trees.top.lookup(superblock.mapping_root, thin_id)
        entries = iter(()) if root is None else trees.bottom.entries(root)
        yield DumpedDevice(thin_id, DeviceDetails(*details), join(entries))


def xml_lines(metadata: PoolMetadata, *, held: bool = False) -> Iterator[str]:
    """Yield the lines of thin_dump 0.9, without line ends. MetadataDamagedError, ENODATA."""
    superblock = superblock_of(metadata, held=held)
    uuid = superblock.uuid.rstrip(b"\0").decode("ascii", "replace")
    yield (
        f'<superblock uuid="{uuid}" time="{superblock.time}" transaction="{superblock.transaction_id}" '
        f'flags="{superblock.flags}" version="{superblock.version}" '
        f'data_block_size="{superblock.data_block_size}" '
        f'nr_data_blocks="{superblock.data_space_map.nr_blocks}">'
    )
    for thin_id, details, runs in devices(metadata, superblock):
        yield (
            f'  <device dev_id="{thin_id}" mapped_blocks="{details.mapped_blocks}" '
            f'transaction="{details.transaction_id}" creation_time="{details.creation_time}" '
            f'snap_time="{details.snapshotted_time}">'
        )
        for run in runs:
            if run.length == 1:
                where = f'origin_block="{run.vblock}" data_block="{run.data_block}"'
                yield f'    <single_mapping {where} time="{run.time}"/>'
            else:
                where = f'origin_begin="{run.vblock}" data_begin="{run.data_block}" length="{run.length}"'
                yield f'    <range_mapping {where} time="{run.time}"/>'
        yield "  </device>"
    yield "</superblock>"

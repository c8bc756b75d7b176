"""`superblock_problems` finds the faults of a superblock, which can be wrong despite its checksum."""

import struct

from thinsim.thin.metadata.store import MAX_METADATA_BLOCKS
from thinsim.thin.metadata.superblock import LOCATION, MAGIC, SpaceMapRoot, Superblock

MAX_DATA_BLOCKS = 1 << 40
"""The limit of data blocks: a mapping has 40 bits for one (dm-thin-metadata.c, pack_block_time)."""

_BLOCKNR_OFFSET, _MAGIC_OFFSET = 8, 32


def superblock_problems(content: bytes, device_blocks: int) -> list[str]:
    """Return the reasons why the kernel would not open a metadata device of *device_blocks* blocks.

    *content* is its first block (sb_check, __check_incompat_features, maybe_resize_metadata_dev). The
    version is not checked, as in the kernel.
    """
    problems = []
    (number,) = struct.unpack_from("<Q", content, _BLOCKNR_OFFSET)
    (magic,) = struct.unpack_from("<Q", content, _MAGIC_OFFSET)
    if number != LOCATION:
        problems.append(f"its block number is {number}, not {LOCATION}")
    if magic != MAGIC:
        problems.append(f"its magic number is {magic}, not {MAGIC}")
    found = Superblock.parse(content)
    for name, features in (("incompat", found.incompat_flags), ("compat_ro", found.compat_ro_flags)):
        if features:
            problems.append(f"it has unknown {name} features: {features:#x}")
    if not found.data_block_size:
        problems.append("its data block size is 0")
    for name, limit in (("metadata", MAX_METADATA_BLOCKS), ("data", MAX_DATA_BLOCKS)):
        root = found.metadata_space_map if name == "metadata" else found.data_space_map
        if not is_possible(root, limit):
            used = f"{root.nr_allocated} of {root.nr_blocks} blocks"
            problems.append(f"its {name} space map can't use {used}")
        elif name == "metadata" and root.nr_blocks > device_blocks:
            problems.append(
                f"it counts {root.nr_blocks} metadata blocks, but the device or file is cut short: "
                f"it has {device_blocks}"
            )
    return problems


def is_possible(root: SpaceMapRoot, limit: int) -> bool:
    """Return whether the numbers of *root* are possible: at most *limit* blocks, and no more in use."""
    return root.nr_allocated <= root.nr_blocks <= limit

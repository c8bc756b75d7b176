"""`Superblock` has a pool's numbers and the roots of its trees (thin_disk_superblock)."""

import struct
from dataclasses import dataclass, replace
from typing import ClassVar

from thinsim.thin.metadata.checksum import SUPERBLOCK_SALT, seal, verify
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE

LOCATION = 0
"""The superblock's block number on the metadata device."""

MAGIC = 27022010
VERSION = 2
NEEDS_CHECK = 1

_METADATA_BLOCK_SECTORS = METADATA_BLOCK_SIZE // 512
_HEADER = struct.Struct("<IIQ16sQIIQQ")
_ROOT = struct.Struct("<QQQQ")
_ROOT_ROOM = 128
_REST = struct.Struct("<QQIIQIII")
_REST_OFFSET = _HEADER.size + 2 * _ROOT_ROOM
_MAGIC_OFFSET = 32


@dataclass(frozen=True, slots=True)
class SpaceMapRoot:
    """A `SpaceMapRoot` has a space map's size, use and trees (dm-space-map-common.h, struct disk_sm_root)."""

    nr_blocks: int = 0
    nr_allocated: int = 0
    bitmap_root: int = 0
    ref_count_root: int = 0


@dataclass(slots=True)
class Superblock:
    """A `Superblock` has the fields of the superblock; *held_root* is 0 without a metadata snapshot.

    *metadata_nr_blocks* is the size of the device when it was formatted; the metadata space map has the
    present size.
    """

    KIND: ClassVar[str] = "superblock"

    data_block_size: int
    metadata_nr_blocks: int = 0
    flags: int = 0
    time: int = 0
    transaction_id: int = 0
    held_root: int = 0
    data_space_map: SpaceMapRoot = SpaceMapRoot()
    metadata_space_map: SpaceMapRoot = SpaceMapRoot()
    mapping_root: int = 0
    details_root: int = 0
    uuid: bytes = bytes(16)
    version: int = VERSION
    compat_flags: int = 0
    compat_ro_flags: int = 0
    incompat_flags: int = 0

    @property
    def needs_check(self) -> bool:
        """Return whether a metadata operation has failed since the last repair."""
        return bool(self.flags & NEEDS_CHECK)

    def copy(self) -> "Superblock":
        """Return an independent copy."""
        return replace(self)

    def encode(self, block: int) -> bytes:
        """Return the superblock's bytes as *block*: 0, or the block of a metadata snapshot."""
        content = bytearray(METADATA_BLOCK_SIZE)
        _HEADER.pack_into(
            content, 0, 0, self.flags, block, self.uuid, MAGIC, self.version, self.time,
            self.transaction_id, self.held_root,
        )  # fmt: skip
        for number, root in enumerate((self.data_space_map, self.metadata_space_map)):
            numbers = (root.nr_blocks, root.nr_allocated, root.bitmap_root, root.ref_count_root)
            _ROOT.pack_into(content, _HEADER.size + number * _ROOT_ROOM, *numbers)
        _REST.pack_into(
            content, _REST_OFFSET, self.mapping_root, self.details_root, self.data_block_size,
            _METADATA_BLOCK_SECTORS, self.metadata_nr_blocks, self.compat_flags, self.compat_ro_flags,
            self.incompat_flags,
        )  # fmt: skip
        return seal(content, SUPERBLOCK_SALT)

    @classmethod
    def decode(cls, content: bytes, block: int) -> "Superblock":
        """Return the superblock in *content*; MetadataDamagedError if it is not one (sb_check).

        The kernel does not check *version* either: the feature flags show the changes of a newer format.
        """
        (magic,) = struct.unpack_from("<Q", content, _MAGIC_OFFSET)
        if magic != MAGIC:
            raise MetadataDamagedError(
                f"metadata block {block} is not a superblock: magic {magic}, not {MAGIC}"
            )
        verify(content, block, SUPERBLOCK_SALT, cls.KIND)
        return cls.parse(content)

    @classmethod
    def parse(cls, content: bytes) -> "Superblock":
        """Return the fields in *content*, without any check."""
        _, flags, _, uuid, _, version, time, transaction_id, held_root = _HEADER.unpack_from(content)
        roots = [
            SpaceMapRoot(*_ROOT.unpack_from(content, _HEADER.size + number * _ROOT_ROOM)) for number in (0, 1)
        ]
        rest = _REST.unpack_from(content, _REST_OFFSET)
        mapping_root, details_root, data_block_size, _, nr_blocks, compat, compat_ro, incompat = rest
        return cls(
            data_block_size=data_block_size,
            metadata_nr_blocks=nr_blocks,
            flags=flags,
            time=time,
            transaction_id=transaction_id,
            held_root=held_root,
            data_space_map=roots[0],
            metadata_space_map=roots[1],
            mapping_root=mapping_root,
            details_root=details_root,
            uuid=uuid,
            version=version,
            compat_flags=compat,
            compat_ro_flags=compat_ro,
            incompat_flags=incompat,
        )

"""Each metadata block carries a checksum of its kind (dm-block-manager.c, dm_bm_checksum).

The first 32 bits of a block hold the CRC-32C of the rest, without the final inversion, XORed with a salt
for the block's type. Each block also stores its own block number.
"""

import errno
import struct

import google_crc32c

from thinsim.thin.metadata.errors import MetadataDamagedError

SUPERBLOCK_SALT = 160774
NODE_SALT = 121107
BITMAP_SALT = 240779
INDEX_SALT = 160478

_CHECKSUM = struct.Struct("<I")
_BLOCKNR = struct.Struct("<Q")
_BLOCKNR_OFFSET = 8


def checksum(content: bytes | bytearray | memoryview, salt: int) -> int:
    """Return the checksum that belongs in the first four bytes of the block *content*."""
    return int(google_crc32c.value(bytes(memoryview(content)[4:]))) ^ 0xFFFFFFFF ^ salt


def stored_checksum(content: bytes) -> int:
    """Return the checksum stored in the block *content*."""
    return int(_CHECKSUM.unpack_from(content)[0])


def seal(content: bytearray, salt: int) -> bytes:
    """Write the checksum into *content* and return the finished block."""
    _CHECKSUM.pack_into(content, 0, checksum(content, salt))
    return bytes(content)


def verify(content: bytes, block: int, salt: int, kind: str) -> None:
    """Raise MetadataDamagedError unless *content* was written as *block* with *salt*; *kind* names it."""
    (found_at,) = _BLOCKNR.unpack_from(content, _BLOCKNR_OFFSET)
    if found_at != block:
        raise MetadataDamagedError(
            f"metadata block {block} is not a valid {kind}: it carries block number {found_at}", errno.ENOTBLK
        )
    stored, computed = stored_checksum(content), checksum(content, salt)
    if stored != computed:
        raise MetadataDamagedError(
            f"metadata block {block} is not a valid {kind}: checksum {stored:#010x}, not {computed:#010x}"
        )

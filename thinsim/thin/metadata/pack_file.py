"""`PackWriter` and `read_blocks` write and read the file format of thin_metadata_pack.

The file is a header of four numbers and a row of chunks. A chunk is its length and a zlib stream with up to
1024 blocks: for each its number and its instructions. All numbers have 64 bits
(src/pack/toplevel.rs of thin-provisioning-tools).
"""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from thinsim.errors import InvalidValueError
from thinsim.thin.metadata.checksum import (
    BITMAP_SALT,
    INDEX_SALT,
    NODE_SALT,
    SUPERBLOCK_SALT,
    checksum,
    stored_checksum,
)
from thinsim.thin.metadata.packed_block import packed, unpacked
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE
from thinsim.thin.metadata.superblock import LOCATION

PACK_MAGIC = 0xA537A0AA6309EF77
_VERSION = 3
_WITH_DAMAGE = 1 << 32 | _VERSION
"""thinsim's own version, for a pack with damaged blocks or no superblock; thin_metadata_unpack refuses it."""

_HEADER = struct.Struct("<4Q")
_NUMBER = struct.Struct("<Q")
_CHUNK_BLOCKS = 1024
_MAX_CHUNK = 64 << 20
"""The largest chunk in bytes, compressed or not; thin_metadata_pack needs less than a tenth."""
_ARRAY_SALT = 595846735
_CACHE_SUPERBLOCK_SALT = 9031977
_ERA_SUPERBLOCK_SALT = 146538381
"""Salts of dm-cache and dm-era; thin_metadata_pack keeps such blocks of an earlier use of the device."""
_OTHER_SALTS = {_ARRAY_SALT, _CACHE_SUPERBLOCK_SALT, _ERA_SUPERBLOCK_SALT}
_SALTS = frozenset({SUPERBLOCK_SALT, NODE_SALT, BITMAP_SALT, INDEX_SALT, *_OTHER_SALTS})


def is_sound(block: bytes) -> bool:
    """Return whether *block* has the checksum of any kind of metadata block."""
    return stored_checksum(block) ^ checksum(block, 0) in _SALTS


class PackWriter:
    """A `PackWriter` writes a pack of a device with *blocks* blocks to *output*; end it with ``finish``.

    *output* must be able to seek. *damaged* counts the packed blocks with a wrong checksum.
    """

    def __init__(self, output: BinaryIO, blocks: int) -> None:
        self.damaged = 0
        self._has_superblock = False
        self._output = output
        self._waiting: list[bytes] = []
        output.write(_HEADER.pack(PACK_MAGIC, _VERSION, METADATA_BLOCK_SIZE, blocks))

    def add(self, number: int, block: bytes) -> None:
        """Pack the bytes of the block with this number."""
        sound = is_sound(block)
        self.damaged += not sound
        self._has_superblock |= sound and number == LOCATION
        self._waiting.append(_NUMBER.pack(number) + packed(block))
        if len(self._waiting) == _CHUNK_BLOCKS:
            self._flush()

    def finish(self) -> int:
        """Write the rest; return the size of the pack in bytes."""
        self._flush()
        size = self._output.tell()
        if self.damaged or not self._has_superblock:
            self._output.seek(_NUMBER.size)
            self._output.write(_NUMBER.pack(_WITH_DAMAGE))
        return size

    def _flush(self) -> None:
        if self._waiting:
            chunk = zlib.compress(b"".join(self._waiting))
            self._output.write(_NUMBER.pack(len(chunk)) + chunk)
            self._waiting.clear()


class PackHeader(NamedTuple):
    """A `PackHeader` has the size of the packed device, and whether the pack has damaged blocks."""

    blocks: int
    with_damage: bool


def read_header(source: BinaryIO) -> PackHeader:
    """Return the header. InvalidValueError if *source* is not a pack, or one of another version."""
    content = source.read(_HEADER.size)
    if int.from_bytes(content[: _NUMBER.size], "little") != PACK_MAGIC:
        raise InvalidValueError("it is not a file of thinsim metadata pack or thin_metadata_pack")
    if len(content) < _HEADER.size:
        raise InvalidValueError(f"it is cut short: its header has {len(content)} of {_HEADER.size} bytes")
    _, version, block_size, blocks = _HEADER.unpack(content)
    if version not in (_VERSION, _WITH_DAMAGE):
        raise InvalidValueError(f"it has the version {version}, and thinsim knows {_VERSION}")
    if block_size != METADATA_BLOCK_SIZE:
        raise InvalidValueError(f"it has blocks of {block_size} bytes, not of {METADATA_BLOCK_SIZE}")
    if not blocks:
        raise InvalidValueError("it is the pack of a device without blocks")
    return PackHeader(blocks, version == _WITH_DAMAGE)


def read_blocks(source: BinaryIO, header: PackHeader) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each block after the header.

    InvalidValueError: the file is cut short, or a chunk, a number or a checksum is wrong.
    """
    for index, chunk in enumerate(_chunks(source)):
        instructions = memoryview(_inflated(chunk, index))
        at = 0
        while at < len(instructions):
            try:
                number, block, at = _next_block(instructions, at)
            except InvalidValueError as error:
                raise InvalidValueError(f"chunk {index} is damaged: {error}") from error
            if number >= header.blocks:
                raise InvalidValueError(
                    f"chunk {index} is damaged: it has block {number} of a device with {header.blocks} blocks"
                )
            if not header.with_damage and not is_sound(block):
                raise InvalidValueError(f"block {number} has a wrong checksum")
            yield number, block


def _next_block(instructions: memoryview, at: int) -> tuple[int, bytes, int]:
    if len(instructions) - at < _NUMBER.size:
        raise InvalidValueError("it ends inside the number of a block")
    (number,) = _NUMBER.unpack_from(instructions, at)
    block, at = unpacked(instructions, at + _NUMBER.size)
    return number, block, at


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    index = 0
    while length := source.read(_NUMBER.size):
        size = int.from_bytes(length, "little")
        if len(length) == _NUMBER.size and size > _MAX_CHUNK:
            raise InvalidValueError(f"chunk {index} is damaged: it has the impossible length {size}")
        chunk = source.read(size) if len(length) == _NUMBER.size else b""
        if len(length) < _NUMBER.size or len(chunk) < size:
            raise InvalidValueError(f"it is cut short inside chunk {index}")
        yield chunk
        index += 1


def _inflated(chunk: bytes, index: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(chunk, _MAX_CHUNK)
    except zlib.error as error:
        raise InvalidValueError(f"chunk {index} is damaged: {error}") from error
    if not stream.eof or stream.unused_data:
        raise InvalidValueError(
            f"chunk {index} is damaged: its zlib stream does not end where the chunk ends"
        )
    return content

"""Where images stand on a metadata device: two slots, written in turn, so that one is always whole.

Block 0 (4 KiB) holds both slots' headers, so that zeroing it formats the pool, as with the kernel's.
The rest is dealt out in pieces of 64 KiB, even ones to slot 0, odd ones to slot 1: an image keeps its
place when the device grows. A generation goes to slot ``generation % 2``; its header is written last
and fits in one sector, which a device writes whole or not at all.
"""

import errno
import struct
import zlib
from dataclasses import dataclass

from thinsim.errors import KernelError
from thinsim.thin.metadata.image import METADATA_BLOCK_SIZE, MetadataDamagedError

HEADER_SIZE = 512
"""Bytes of a slot's header."""

PIECE_SIZE = 65536

_HEADER = struct.Struct("<8sIIQQI")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"thinslot"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class SlotHeader:
    """A slot's header: which generation it holds, how long and with which CRC-32 the image is."""

    generation: int
    image_length: int
    image_checksum: int

    @property
    def slot(self) -> int:
        """The slot, 0 or 1."""
        return self.generation % 2

    def pieces(self) -> list[tuple[int, int]]:
        """Return (offset, length) of the image's pieces, in order."""
        return pieces(self.slot, self.image_length)

    def check(self, image: bytes) -> bytes:
        """Return *image* if it is the one this header describes; else MetadataDamagedError."""
        if len(image) != self.image_length or zlib.crc32(image) != self.image_checksum:
            raise MetadataDamagedError(f"metadata: the image of generation {self.generation} is damaged")
        return image

    def encode(self) -> bytes:
        """Return the header's bytes."""
        fields = _HEADER.pack(_MAGIC, _VERSION, 0, self.generation, self.image_length, self.image_checksum)
        return (fields + _CHECKSUM.pack(zlib.crc32(fields))).ljust(HEADER_SIZE, b"\0")


def slot_offset(slot: int) -> int:
    """Return where the header of *slot* stands."""
    return slot * METADATA_BLOCK_SIZE // 2


def pieces(slot: int, length: int) -> list[tuple[int, int]]:
    """Return (offset, length) of the pieces of an image of *length* bytes in *slot*."""
    return [
        (
            METADATA_BLOCK_SIZE + (2 * number + slot) * PIECE_SIZE,
            min(PIECE_SIZE, length - number * PIECE_SIZE),
        )
        for number in range(-(-length // PIECE_SIZE))
    ]


def plan_save(image: bytes, generation: int, device_size: int) -> list[tuple[int, bytes]]:
    """Return the writes that save *image* as *generation* (1 and up), its header last.

    The executor flushes before and after the last write. ENOSPC when the device of *device_size*
    bytes is too small.
    """
    header = SlotHeader(generation, len(image), zlib.crc32(image))
    places = header.pieces()
    if places and sum(places[-1]) > device_size:
        raise KernelError(
            errno.ENOSPC, f"metadata device of {device_size} bytes has no room for an image of {len(image)}"
        )
    writes = []
    position = 0
    for offset, length in places:
        writes.append((offset, image[position : position + length]))
        position += length
    writes.append((slot_offset(header.slot), header.encode()))
    return writes


def parse_header(content: bytes, slot: int | None = None) -> SlotHeader | None:
    """Read a slot's header; None when never written (all zeros), MetadataDamagedError when it is none."""
    content = content[:HEADER_SIZE]
    if len(content) == HEADER_SIZE and not any(content):
        return None
    end = _HEADER.size + _CHECKSUM.size
    if len(content) < end or content[:8] != _MAGIC:
        raise MetadataDamagedError(f"metadata: no pool of ours: magic is {content[:8]!r}, not {_MAGIC!r}")
    _, version, _, generation, length, checksum = _HEADER.unpack_from(content)
    if _CHECKSUM.unpack_from(content, _HEADER.size)[0] != zlib.crc32(content[: _HEADER.size]) or any(
        content[end:]
    ):
        raise MetadataDamagedError("metadata: the checksum of a slot's header is wrong")
    if version != _VERSION:
        raise MetadataDamagedError(f"metadata: version of a slot's header is {version}, not {_VERSION}")
    if slot is not None and generation % 2 != slot:
        raise MetadataDamagedError(f"metadata: slot {slot} holds generation {generation}")
    return SlotHeader(generation, length, checksum)


def choose(header_a: bytes, header_b: bytes) -> SlotHeader | None:
    """Return the newer of the two slots' headers; None on a fresh device, where both are zeros.

    A damaged header raises MetadataDamagedError even if the other one is whole: it may have been the
    newer, and an older transaction maps blocks that have been given away since.
    """
    known = [
        header for header in (parse_header(header_a, 0), parse_header(header_b, 1)) if header is not None
    ]
    return max(known, key=lambda header: header.generation, default=None)

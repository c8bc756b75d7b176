"""Cuts a discard as the block layer does before a device gets it (block/blk-lib.c, bio_discard_limit)."""

from collections.abc import Iterator

from thinsim.units import SECTOR_SIZE

_LONGEST = 0xFFFFFFFF


def discard_pieces(offset: int, length: int, granularity: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each piece of a discard, in bytes; *granularity* is the device's.

    The kernel aligns as if every granularity were a power of two, so that others are cut in odd places,
    within a block that is then no whole one of either piece. What is cut once isn't cut again.
    """
    sectors = granularity // SECTOR_SIZE
    regular = sectors & (sectors - 1) == 0
    longest = (_LONGEST & -granularity) // SECTOR_SIZE if regular else 0
    begin, end = offset // SECTOR_SIZE, (offset + length) // SECTOR_SIZE
    while begin < end:
        aligned = ((begin - 1) | (sectors - 1)) + 1
        wanted = aligned - begin if aligned != begin else longest or end - begin
        piece = min(end - begin, wanted)
        yield begin * SECTOR_SIZE, piece * SECTOR_SIZE
        begin += piece

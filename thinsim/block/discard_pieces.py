"""`discard_pieces` splits a discard as the block layer does (block/blk-lib.c, bio_discard_limit)."""

from collections.abc import Iterator

from thinsim.units import SECTOR_SIZE

_LONGEST = 0xFFFFFFFF


def discard_pieces(offset: int, length: int, granularity: int) -> Iterator[tuple[int, int]]:
    """Yield the offset and length of each piece of a discard; all numbers are bytes.

    The kernel aligns the pieces as if each *granularity* were a power of two. With another granularity, a
    cut can be inside a block, and then neither piece contains that block whole. The kernel does not split a
    piece again.
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

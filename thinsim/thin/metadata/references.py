"""`References` counts the uses of blocks, in pieces: a damaged size takes no memory."""

from collections import Counter
from collections.abc import Iterable

from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP

_PIECE_BITMAPS = 64
_PIECE = _PIECE_BITMAPS * ENTRIES_PER_BITMAP


def bitmaps_of(blocks: int) -> int:
    """Return the number of bitmaps for *blocks* blocks."""
    return -(-blocks // ENTRIES_PER_BITMAP)


class References:
    """A `References` counts the uses of each of *blocks* blocks.

    One byte per block is enough for most counts.
    """

    _MANY = 255

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self._pieces: dict[int, bytearray] = {}
        self._many: Counter[int] = Counter()

    def __getitem__(self, block: int) -> int:
        number, at = divmod(block, _PIECE)
        few = self._pieces[number][at] if number in self._pieces else 0
        return few if few < self._MANY else self._many[block]

    def few(self, bitmap: int) -> bytearray:
        """Return the counts of the blocks of one *bitmap*, 255 standing in for more."""
        number, at = divmod(bitmap, _PIECE_BITMAPS)
        if number not in self._pieces:
            return bytearray(ENTRIES_PER_BITMAP)
        return self._pieces[number][at * ENTRIES_PER_BITMAP : (at + 1) * ENTRIES_PER_BITMAP]

    def add(self, blocks: Iterable[int]) -> list[int]:
        """Count one more use of each of *blocks*; return the block numbers that are out of range."""
        beyond: list[int] = []
        piece, base, length = bytearray(), 0, 0
        for block in blocks:
            if not base <= block < base + length:
                if not 0 <= block < self.blocks:
                    beyond.append(block)
                    continue
                number = block // _PIECE
                if number not in self._pieces:
                    self._pieces[number] = bytearray(_PIECE)
                piece, base = self._pieces[number], number * _PIECE
                length = min(_PIECE, self.blocks - base)
            try:
                piece[block - base] += 1
                if piece[block - base] == self._MANY:
                    self._many[block] = self._MANY
            except ValueError:
                self._many[block] += 1
        return beyond

"""How often blocks were met, counted in pieces of a bitmap each: a damaged size takes no memory. Pure."""

from collections import Counter
from collections.abc import Iterable

from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP


def bitmaps_of(blocks: int) -> int:
    """Return how many bitmaps count *blocks* blocks."""
    return -(-blocks // ENTRIES_PER_BITMAP)


class References:
    """How often each of *blocks* blocks was met; a byte each, since hardly any is met often."""

    _MANY = 255

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self._few: dict[int, bytearray] = {}
        self._many: Counter[int] = Counter()

    def __getitem__(self, block: int) -> int:
        number, bit = divmod(block, ENTRIES_PER_BITMAP)
        few = self._few[number][bit] if number in self._few else 0
        return few if few < self._MANY else self._many[block]

    def few(self, number: int) -> bytearray:
        """Return the counts of the blocks of bitmap *number*, 255 for more."""
        return self._few.get(number) or bytearray(ENTRIES_PER_BITMAP)

    def add(self, blocks: Iterable[int]) -> list[int]:
        """Meet each of *blocks* once more; returns those that there are not."""
        beyond: list[int] = []
        last, few, base = self.blocks, bytearray(), 0
        length = 0
        for block in blocks:
            bit = block - base
            if not 0 <= bit < length:
                if not 0 <= block < last:
                    beyond.append(block)
                    continue
                number = block // ENTRIES_PER_BITMAP
                if number not in self._few:
                    self._few[number] = bytearray(ENTRIES_PER_BITMAP)
                few = self._few[number]
                base = number * ENTRIES_PER_BITMAP
                length = min(ENTRIES_PER_BITMAP, last - base)
                bit = block - base
            try:
                few[bit] += 1
                if few[bit] == self._MANY:
                    self._many[block] = self._MANY
            except ValueError:
                self._many[block] += 1
        return beyond

"""`References` counts any number of uses, and its size alone takes no memory."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from thinsim.thin.metadata.references import References, bitmaps_of
from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP

BLOCKS = 64 * ENTRIES_PER_BITMAP + 1000
AROUND = [0, 1, ENTRIES_PER_BITMAP - 1, ENTRIES_PER_BITMAP, BLOCKS - 1001, BLOCKS - 1000, BLOCKS - 1, BLOCKS]


@given(st.lists(st.sampled_from(AROUND) | st.integers(0, BLOCKS + 3), max_size=40), st.integers(1, 300))
def test_each_block_has_the_count_of_its_uses(blocks: list[int], times: int) -> None:
    references = References(BLOCKS)
    beyond = [block for _ in range(times) for block in references.add(blocks)]
    expected = Counter(blocks * times)
    assert Counter(beyond) == Counter({block: n for block, n in expected.items() if block >= BLOCKS})
    for block in {*blocks, *AROUND} - {block for block in blocks if block >= BLOCKS} - {BLOCKS}:
        number, bit = divmod(block, ENTRIES_PER_BITMAP)
        assert references[block] == expected[block]
        assert references.few(number)[bit] == min(expected[block], 255)


def test_a_size_that_no_device_has_takes_no_memory() -> None:
    references = References(1 << 60)
    assert references.add([5, (1 << 60) - 1, 1 << 60]) == [1 << 60]
    assert (references[5], references[(1 << 60) - 1], references[7]) == (1, 1, 0)
    assert bitmaps_of(1 << 60) > 1 << 45

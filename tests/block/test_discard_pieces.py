"""A discard is cut where the block layer cuts it, and a piece is not cut again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinsim.block.discard_pieces import discard_pieces

SECTOR = 512


def test_a_discard_that_begins_between_two_blocks_is_cut_at_the_next() -> None:
    assert list(discard_pieces(100 * SECTOR, 400 * SECTOR, 128 * SECTOR)) == [
        (100 * SECTOR, 28 * SECTOR),
        (128 * SECTOR, 372 * SECTOR),
    ]


def test_blocks_whose_size_is_no_power_of_two_are_cut_inside() -> None:
    """Linux 6.1 did the same in history random-13: no piece had all of block 4, sectors 2560 to 3199."""
    assert list(discard_pieces(2560 * SECTOR, 2048 * SECTOR, 640 * SECTOR)) == [
        (2560 * SECTOR, 512 * SECTOR),
        (3072 * SECTOR, 1536 * SECTOR),
    ]


@pytest.mark.parametrize("sectors", [1, 128, 1024])
def test_more_than_four_gigabytes_are_cut_at_whole_blocks(sectors: int) -> None:
    (_, first), (second, _) = discard_pieces(0, 5 << 30, sectors * SECTOR)
    assert first == second == (0xFFFFFFFF // (sectors * SECTOR)) * sectors * SECTOR


@given(st.integers(0, 1 << 20), st.integers(1, 1 << 16), st.integers(1, 2048))
def test_pieces_fill_the_range_and_are_not_cut_again(begin: int, count: int, sectors: int) -> None:
    whole = (begin * SECTOR, count * SECTOR)
    pieces = list(discard_pieces(*whole, sectors * SECTOR))
    position = whole[0]
    for offset, length in pieces:
        assert offset == position
        assert list(discard_pieces(offset, length, sectors * SECTOR)) == [(offset, length)]
        position += length
    assert position == sum(whole)

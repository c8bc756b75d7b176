"""Byte ranges are computed as sets of bytes would be."""

from hypothesis import given
from hypothesis import strategies as st

from thinsim.ranges import bytes_per_block, subtract, total

BYTES = st.sets(st.integers(0, 120))


def as_ranges(members: set[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for member in sorted(members):
        if ranges and ranges[-1][1] == member:
            ranges[-1] = (ranges[-1][0], member + 1)
        else:
            ranges.append((member, member + 1))
    return ranges


def as_set(ranges: list[tuple[int, int]]) -> set[int]:
    return {member for start, end in ranges for member in range(start, end)}


@given(BYTES, BYTES)
def test_subtracting_ranges_is_subtracting_sets(minuend: set[int], subtrahend: set[int]) -> None:
    left = subtract(as_ranges(minuend), as_ranges(subtrahend))
    assert as_set(left) == minuend - subtrahend
    assert total(left) == len(minuend - subtrahend)


@given(BYTES, st.integers(1, 32))
def test_every_byte_is_counted_in_its_block_once(members: set[int], block_bytes: int) -> None:
    counted = list(bytes_per_block(as_ranges(members), block_bytes))
    expected: dict[int, int] = {}
    for member in members:
        expected[member // block_bytes] = expected.get(member // block_bytes, 0) + 1
    assert counted == sorted(expected.items())

"""A discard shrinks to whole units on its way down, and the least sizes are exactly those that live."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from thinsim.node.stack.height import DeviceLimits, HeightKind, Lower, StackHeight
from thinsim.node.stack.passing import least_sizes, obstacles, passages, whole_units
from thinsim.ranges import Range, total

BLOCK = 64 << 10
STEP = 4096


def chain(*heights: StackHeight) -> list[StackHeight]:
    """Return *heights*, each whole on the next one."""
    last = len(heights) - 1
    return [
        replace(height, below=(Lower(number + 1, 0, None, 0),) if number < last else ())
        for number, height in enumerate(heights)
    ]


def file_system(shortest: int = 0) -> StackHeight:
    return StackHeight(HeightKind.FILE_SYSTEM, "/mnt", unit=STEP, shortest=shortest)


THIN = StackHeight(HeightKind.THIN, "/dev/mapper/thin", unit=BLOCK)
IMAGE = StackHeight(HeightKind.IMAGE, "/image", unit=STEP)


def passed(heights: Sequence[StackHeight], *ranges: Range) -> list[int]:
    return [passage.passed for passage in passages(heights, ranges)]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 9), st.integers(0, 8))
def test_whole_units_are_those_of_which_each_byte_is_in_the_range(
    start: int, length: int, unit: int, first: int
) -> None:
    inside = {
        byte
        for begin in range(first - 5 * unit * 9, 100, unit)
        if start <= begin and begin + unit <= start + length
        for byte in range(begin, begin + unit)
    }
    found = whole_units([(start, start + length)], unit, first)
    assert {byte for begin, end in found for byte in range(begin, end)} == inside


ranges_of_blocks = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 40)), min_size=1, max_size=5).map(
    lambda pairs: sorted((start * STEP, (start + count) * STEP) for start, count in pairs)
)


@given(ranges_of_blocks, st.sampled_from([STEP, BLOCK, 1 << 20]))
def test_no_height_passes_more_than_arrives(ranges: list[Range], unit: int) -> None:
    stack = chain(file_system(), replace(THIN, unit=unit), IMAGE)
    found = passages(stack, ranges)
    assert all(each.passed <= each.arrived for each in found)
    assert all(lower.arrived == upper.passed for upper, lower in pairwise(found))
    assert all(bool(each.reason) == (each.passed < each.arrived) for each in found)


@given(
    st.integers(0, 64), st.sampled_from([STEP, 2 * STEP, BLOCK, 1 << 20]), st.sampled_from([0, STEP, BLOCK])
)
def test_the_certain_size_lives_wherever_it_begins_and_no_smaller_one_does(
    place: int, unit: int, shortest: int
) -> None:
    stack = chain(file_system(shortest), replace(THIN, unit=unit), IMAGE)
    least = least_sizes(stack)
    assert least is not None
    start = place * STEP
    assert passed(stack, (start, start + least.certain))[-1] > 0
    if least.certain > STEP:
        smaller = least.certain - STEP
        assert any(
            passed(stack, (begin * STEP, begin * STEP + smaller))[-1] == 0 for begin in range(unit // STEP)
        )
    if least.aligned > STEP:
        assert passed(stack, (0, least.aligned - STEP))[-1] == 0
    assert passed(stack, (0, least.aligned))[-1] > 0


def test_a_thin_device_passes_only_whole_blocks_that_it_does_not_share() -> None:
    stack = chain(file_system(), THIN, IMAGE)
    discard = [(STEP, 4 * BLOCK)]
    assert [each.passed for each in passages(stack, discard)] == [4 * BLOCK - STEP, 3 * BLOCK, 3 * BLOCK]
    shared = passages(stack, discard, shared=lambda block: block == (2 * BLOCK, 3 * BLOCK))
    assert [each.passed for each in shared] == [4 * BLOCK - STEP, 2 * BLOCK, 2 * BLOCK]
    assert shared[1].reason == "it frees only whole units of 64 KiB"
    every = passages(stack, [(0, BLOCK)], shared=lambda block: True)
    assert [each.passed for each in every] == [BLOCK, 0, 0]
    assert every[1].reason == "another thin device shares some of the data blocks"


def test_a_file_system_discards_no_range_that_is_shorter_than_the_granularity_below_it() -> None:
    stack = chain(file_system(BLOCK), THIN, IMAGE)
    found = passages(stack, [(0, BLOCK - STEP)])
    assert (found[0].passed, found[0].reason) == (0, "it discards no range shorter than 64 KiB")


def test_discards_die_at_the_first_height_that_takes_none() -> None:
    closed = StackHeight(
        HeightKind.CRYPT, "/dev/mapper/c", passes=False, reason="the table has no allow_discards"
    )
    stack = chain(file_system(), closed, IMAGE)
    assert passed(stack, (0, BLOCK)) == [BLOCK, 0, 0]
    assert obstacles(stack) == [1]
    assert least_sizes(stack) is None
    assert least_sizes([]) is None


def test_a_discard_of_two_volumes_goes_to_both_disks_at_their_places() -> None:
    upper = StackHeight(
        HeightKind.LINEAR,
        "/dev/mapper/both",
        below=(Lower(1, 0, 10 * STEP, 100 * STEP), Lower(2, 10 * STEP, 10 * STEP, 200 * STEP)),
    )
    limits = DeviceLimits(512, BLOCK, STEP, 1 << 30, 1 << 30)
    disks = [StackHeight(HeightKind.DISK, name, unit=BLOCK, limits=limits) for name in ("/dev/a", "/dev/b")]
    assert [each.arrived for each in passages([upper, *disks], [(0, 20 * STEP)])] == [
        20 * STEP,
        10 * STEP,
        10 * STEP,
    ]
    moved = passages([upper, *disks], [(0, 40 * STEP)])
    assert moved[1].passed == total(whole_units([(100 * STEP, 110 * STEP)], BLOCK, STEP))

"""The verdict names the height below which nothing of a discard was measured, and the reason."""

import pytest

from tests.node.stack.test_stack_passing import BLOCK, STEP, chain, file_system
from thinsim.node.stack.counting import HeightCount, counted_heights
from thinsim.node.stack.height import DeviceLimits, HeightKind, StackHeight
from thinsim.node.stack.verdict import Death, HeightEffect, effects_of, judge

LIMITS = DeviceLimits(512, BLOCK, 0, 1 << 30, 1 << 30)
STACK = chain(
    file_system(),
    StackHeight(HeightKind.THIN, "/dev/mapper/thin", unit=BLOCK, limits=LIMITS),
    StackHeight(HeightKind.THIN_POOL, "/dev/mapper/pool", pool_block=BLOCK, limits=LIMITS),
    StackHeight(HeightKind.LOOP, "/dev/loop0", limits=LIMITS),
    StackHeight(HeightKind.IMAGE, "/image", unit=STEP),
    StackHeight(HeightKind.FILE_SYSTEM, "/", unit=STEP),
    StackHeight(HeightKind.DISK, "/dev/sda", unit=STEP, limits=LIMITS),
)
WHOLE = [(0, 4 * BLOCK)]
FRAGMENT = [(STEP, 2 * BLOCK - STEP)]


def effects(*bytes_at: int | None) -> list[HeightEffect]:
    """Return effects with these bytes at the heights from 1 on: a device's arrived, a file's were freed."""
    return [
        HeightEffect(number, 1, None, None, size) if number == 4 else HeightEffect(number, 1, size, 0, None)
        for number, size in enumerate(bytes_at, start=1)
    ]


def test_the_file_system_below_an_image_is_not_counted() -> None:
    assert counted_heights(STACK) == [1, 2, 3, 4]


def test_what_arrived_at_the_lowest_height_counted_lived() -> None:
    assert judge(STACK, WHOLE, effects(4 * BLOCK, 4 * BLOCK, 4 * BLOCK, 4 * BLOCK)) is None


@pytest.mark.parametrize(
    ("ranges", "sizes", "death"),
    [
        (FRAGMENT, (2 * BLOCK, 0, 0, 0), Death(1, "it frees only whole units of 64 KiB")),
        (
            WHOLE,
            (4 * BLOCK, 0, 0, 0),
            Death(1, "the file filled no unit of 64 KiB whole, or others use the units as well"),
        ),
    ],
)
def test_what_ended_at_the_thin_device_died_there(
    ranges: list[tuple[int, int]], sizes: tuple[int, ...], death: Death
) -> None:
    assert judge(STACK, ranges, effects(*sizes)) == death


def test_what_a_height_that_passes_none_received_died_there() -> None:
    closed = list(STACK)
    closed[2] = StackHeight(
        HeightKind.THIN_POOL,
        "/dev/mapper/pool",
        limits=LIMITS,
        passes=False,
        reason="off",
        below=STACK[2].below,
    )
    freed = [HeightEffect(2, None, None, None, 4 * BLOCK)]
    found = judge(closed, WHOLE, [*effects(4 * BLOCK)[:1], *freed, *effects(0, 0, 0, 0)[2:]])
    assert found == Death(2, "off")


def test_what_nothing_received_died_at_the_file_system() -> None:
    short = [file_system(shortest=BLOCK), *STACK[1:]]
    short[0] = chain(short[0], STACK[1])[0]
    nothing = effects(0, 0, 0, 0)
    assert judge(short, [(0, STEP)], nothing) == Death(0, "it discards no range shorter than 64 KiB")
    assert judge(STACK, WHOLE, nothing, "fstrim is refused") == Death(0, "fstrim is refused")


def test_effects_are_differences_and_never_negative() -> None:
    full = {1: HeightCount(5, 1000, None), 4: HeightCount(held=900)}
    removed = {1: HeightCount(6, 1400, None), 4: HeightCount(held=700)}
    trimmed = {1: HeightCount(8, 1900, None), 4: HeightCount(held=1000)}
    assert effects_of(full, removed, trimmed) == (
        HeightEffect(1, requests=3, arrived=900, at_once=400, freed=None),
        HeightEffect(4, requests=None, arrived=None, at_once=None, freed=0),
    )

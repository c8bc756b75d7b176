"""Leaks are compared by data block and by snapshot."""

import pytest

from tests.regression.stored import BLOCK, leak, variant
from thinsim.regression.baseline import VariantBaseline
from thinsim.regression.leaks import LeakComparison, compare_leaks


def compared(now: VariantBaseline, then: VariantBaseline, tolerance: int = 0) -> LeakComparison:
    return compare_leaks(now, then, block_bytes=BLOCK, tolerance=tolerance)


def test_the_same_blocks_again_are_no_change() -> None:
    assert compared(variant(leak("a", 12)), variant(leak("a", 12))) == LeakComparison()


def test_other_bytes_in_the_same_blocks_are_no_change() -> None:
    """The host decides how much of a block it allocates, as with the blocks of its own trees."""
    more = variant(leak("a", 12), most_leaked=12 * BLOCK + 4096)
    assert compared(more, variant(leak("a", 12))) == LeakComparison()


def test_one_block_more_is_a_leak_with_its_owner_and_its_reason() -> None:
    found = compared(variant(leak("a", 12), leak("b", 1)), variant(leak("a", 12)))
    assert found.worse == (
        "13 data blocks (832 KiB) leaked, 12 data blocks before: 1 data block more "
        "(b: 1 data block more, deleted without discard)"
    )


def test_one_block_is_a_leak_where_nothing_leaked() -> None:
    assert (
        "1 data block (64 KiB) leaked, 0 data blocks before"
        in compared(variant(leak("a", 1)), variant()).worse
    )


def test_a_block_that_another_snapshot_leaks_than_before_is_a_leak() -> None:
    found = compared(variant(leak("a", 11), leak("b", 1)), variant(leak("a", 12)))
    assert "other snapshots leak than before (b: 1 data block more" in found.worse


def test_rounds_that_differed_allow_as_much_again_and_no_more() -> None:
    then = variant(leak("a", 12, least=10))
    assert compared(variant(leak("a", 14)), then) == LeakComparison(
        tolerated="leaks 2 data blocks more, within the tolerance of 2 data blocks"
    )
    assert compared(variant(leak("a", 15)), then).worse


def test_a_tolerance_is_for_variants_that_leak_in_the_baseline_alone() -> None:
    assert compared(variant(leak("a", 14)), variant(leak("a", 12)), 2).tolerated
    assert compared(variant(leak("a", 15)), variant(leak("a", 12)), 2).worse
    assert compared(variant(leak("a", 1)), variant(), 2).worse


@pytest.mark.parametrize(("now", "better"), [(9, "leaks 3 data blocks less"), (12, "")])
def test_fewer_blocks_are_better(now: int, better: str) -> None:
    assert compared(variant(leak("a", now)), variant(leak("a", 12))) == LeakComparison(better=better)


def test_more_in_all_than_in_any_round_is_a_leak_though_no_snapshot_lost_more_than_ever() -> None:
    then = variant(leak("a", 12, least=12), leak("b", 12, least=12), most_blocks=12, least_blocks=12)
    found = compared(variant(leak("a", 12), leak("b", 1), most_blocks=13), then)
    assert found.worse.endswith("1 data block more (no snapshot leaked more than in some earlier round)")

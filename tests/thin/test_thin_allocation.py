"""The space map: next fit, two views, reference counts."""

import pytest
from thinsim.thin.allocation import SpaceMap


def commit(space: SpaceMap) -> None:
    space.seal()
    space.commit()


def take(space: SpaceMap, count: int) -> list[int | None]:
    return [space.allocate() for _ in range(count)]


def test_blocks_come_in_the_kernel_s_order() -> None:
    space = SpaceMap(20)
    assert take(space, 10) == list(range(10))
    commit(space)
    for block in (2, 3, 4):
        space.decrement(block)
    assert take(space, 3) == [10, 11, 12]
    commit(space)
    assert take(space, 9) == [13, 14, 15, 16, 17, 18, 19, 2, 3]


def test_a_block_freed_in_this_transaction_waits_for_the_commit() -> None:
    space = SpaceMap(2)
    take(space, 2)
    commit(space)
    space.decrement(0)
    assert (space.nr_free, space.nr_available) == (1, 0)
    assert space.allocate() is None
    commit(space)
    assert space.allocate() == 0


def test_a_block_that_was_free_at_the_last_commit_can_be_reused_at_once() -> None:
    space = SpaceMap(1)
    assert space.allocate() == 0
    space.decrement(0)
    assert space.allocate() == 0


def test_what_changes_while_a_commit_is_under_way_belongs_to_the_next() -> None:
    space = SpaceMap(2)
    take(space, 2)
    space.seal()
    space.decrement(0)
    space.commit()
    assert space.allocate() is None
    commit(space)
    assert space.allocate() == 0


def test_a_block_freed_before_and_one_taken_after_the_seal_are_kept_apart() -> None:
    space = SpaceMap(2)
    assert space.allocate() == 0
    commit(space)
    space.decrement(0)
    space.seal()
    assert space.allocate() == 1
    space.commit()
    assert (space.nr_available, space.allocate()) == (1, 0)


def test_the_last_reference_frees() -> None:
    space = SpaceMap(1)
    space.allocate()
    space.increment(0)
    space.decrement(0)
    assert (space.count(0), space.nr_allocated) == (1, 1)
    space.decrement(0)
    assert (space.count(0), space.nr_allocated, space.nr_free) == (0, 0, 1)
    with pytest.raises(AssertionError, match="no reference"):
        space.decrement(0)


def test_grown_blocks_are_available_at_once() -> None:
    space = SpaceMap(1)
    space.allocate()
    space.grow(3)
    assert take(space, 3) == [1, 2, None]
    with pytest.raises(AssertionError, match="can't become"):
        space.grow(2)

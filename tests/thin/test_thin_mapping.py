"""Mappings: runs, removal, copies; and the cutting of discards."""

from thinsim.thin.discard import DiscardRun, cut, unreferenced, whole_blocks
from thinsim.thin.mapping import Mappings, Run


def test_runs_are_as_long_as_blocks_and_times_allow() -> None:
    mappings = Mappings()
    for vblock, data_block, time in [(0, 5, 0), (1, 6, 0), (2, 7, 1), (3, 9, 1), (9, 10, 1)]:
        assert mappings.insert(vblock, data_block, time) is None
    runs = [Run(0, 5, 2, 0), Run(2, 7, 1, 1), Run(3, 9, 1, 1), Run(9, 10, 1, 1)]
    assert list(mappings.runs()) == runs
    assert list(mappings.runs(1, 3)) == [Run(1, 6, 1, 0), Run(2, 7, 1, 1)]
    assert list(Mappings(runs).runs()) == runs


def test_an_insert_returns_the_block_it_replaces() -> None:
    mappings = Mappings([Run(4, 2, 1, 0)])
    assert mappings.insert(4, 8, 1) == 2
    assert len(mappings) == 1


def test_removal_keeps_the_highest_block_known() -> None:
    mappings = Mappings([Run(0, 0, 4, 0), Run(1000, 4, 2, 0)])
    assert mappings.highest == 1001
    assert mappings.remove(2, 1001) == [2, 3, 4]
    assert mappings.remove(1001, 1 << 40) == [5]
    assert (len(mappings), mappings.highest) == (2, 1)
    assert mappings.remove(50, 60) == []
    assert mappings.remove(0, 2) == [0, 1]
    assert mappings.highest is None


def test_a_copy_and_its_original_change_apart() -> None:
    original = Mappings([Run(0, 0, 4, 0)])
    copy = original.copy()
    original.insert(0, 9, 1)
    copy.remove(3, 4)
    again = copy.copy()
    again.insert(7, 7, 1)
    assert list(original.runs()) == [Run(0, 9, 1, 1), Run(1, 1, 3, 0)]
    assert list(copy.runs()) == [Run(0, 0, 3, 0)]
    assert (original.highest, copy.highest, again.highest) == (3, 2, 7)
    assert list(original.data_blocks()) == [9, 1, 2, 3]


def test_a_byte_range_is_rounded_inwards() -> None:
    assert whole_blocks(0, 4096, 4096) == (0, 1)
    assert whole_blocks(1, 4096, 4096) == (1, 1)
    assert whole_blocks(512, 8191, 4096) == (1, 2)
    assert whole_blocks(512, 1024, 4096) == (1, 1)


def test_a_discard_joins_what_continues_with_the_same_shared_flag() -> None:
    runs = [Run(0, 10, 2, 0), Run(2, 12, 3, 1), Run(5, 15, 1, 2), Run(6, 20, 1, 2), Run(8, 21, 1, 2)]
    assert list(cut(runs, 2)) == [
        DiscardRun(0, 10, 5, True),
        DiscardRun(5, 15, 1, False),
        DiscardRun(6, 20, 1, False),
        DiscardRun(8, 21, 1, False),
    ]


def test_a_discard_is_cut_at_multiples_of_1024_virtual_and_data_blocks() -> None:
    assert list(cut([Run(1000, 2000, 100, 0)], 0)) == [
        DiscardRun(1000, 2000, 24, False),
        DiscardRun(1024, 2024, 24, False),
        DiscardRun(1048, 2048, 52, False),
    ]
    assert list(cut([], 0)) == []


def test_only_blocks_that_nobody_else_has_are_passed_down() -> None:
    others = {11, 14}
    run = DiscardRun(0, 10, 5, True)
    assert list(unreferenced(run, lambda block: block not in others)) == [(10, 1), (12, 2)]
    assert list(unreferenced(run, lambda _: True)) == [(10, 5)]
    assert list(unreferenced(run, lambda _: False)) == []
    assert list(unreferenced(run._replace(shared=False), lambda _: False)) == [(10, 5)]

"""Mappings are joined into runs, and discards are cut as the kernel cuts them."""

from thinsim.thin.mapping import Run, join, pack, unpack
from thinsim.thin.passdown import DiscardRun, cut, requests, unreferenced, whole_blocks


def test_a_packed_value_holds_block_and_time() -> None:
    assert pack(5, 7) == 5 * 2**24 + 7
    assert unpack(pack((1 << 40) - 1, (1 << 24) - 1)) == ((1 << 40) - 1, (1 << 24) - 1)


def test_runs_are_as_long_as_blocks_and_times_allow() -> None:
    mapped = [(0, 5, 0), (1, 6, 0), (2, 7, 1), (3, 9, 1), (9, 10, 1)]
    assert list(join((vblock, pack(block, time)) for vblock, block, time in mapped)) == [
        Run(0, 5, 2, 0),
        Run(2, 7, 1, 1),
        Run(3, 9, 1, 1),
        Run(9, 10, 1, 1),
    ]
    assert list(join([])) == []


def test_a_byte_range_is_rounded_inwards() -> None:
    assert whole_blocks(0, 4096, 4096) == (0, 1)
    assert whole_blocks(1, 4096, 4096) == (1, 1)
    assert whole_blocks(512, 8191, 4096) == (1, 2)
    assert whole_blocks(512, 1024, 4096) == (1, 1)


def test_a_discard_joins_adjacent_runs_with_the_same_shared_flag() -> None:
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


def test_only_blocks_without_another_mapping_are_passed_down() -> None:
    others = {11, 14}
    run = DiscardRun(0, 10, 5, True)
    assert list(unreferenced(run, lambda block: block not in others)) == [(10, 1), (12, 2)]
    assert list(unreferenced(run, lambda _: True)) == [(10, 5)]
    assert list(unreferenced(run, lambda _: False)) == []
    assert list(unreferenced(run._replace(shared=False), lambda _: False)) == [(10, 5)]


def test_pieces_adjacent_to_the_last_one_go_down_in_one_request() -> None:
    """Linux 6.1 did the same in the histories random-0 and shared-1."""
    assert list(requests([(14, 4), (19, 1), (18, 1), (20, 1)])) == [(14, 4), (18, 3)]
    assert list(requests([(85, 1), (87, 2), (69, 8), (68, 1)])) == [(85, 1), (87, 2), (68, 9)]


def test_pieces_adjacent_to_an_earlier_one_stay_separate_requests() -> None:
    assert list(requests([(4, 2), (10, 1), (6, 2)])) == [(4, 2), (10, 1), (6, 2)]
    assert list(requests([])) == []

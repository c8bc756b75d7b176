"""Candidates are the free blocks for which the host holds bytes, compared with a model of single bytes."""

from hypothesis import given
from hypothesis import strategies as st

from thinsim.node.reclaim.candidates import FreedRun, candidates, held_bytes
from thinsim.ranges import Range
from thinsim.thin.metadata.free_runs import BlockRun

BLOCK = 4
BLOCKS = 24

FREE = st.sets(st.integers(0, BLOCKS - 1))
BYTES = st.sets(st.integers(0, BLOCKS * BLOCK - 1))


def runs(numbers: set[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1] = found[-1][0], number + 1
        else:
            found.append((number, number + 1))
    return found


def blocks_of(found: list[FreedRun]) -> list[int]:
    return [block for each in found for block in range(each.begin, each.end)]


@given(FREE, BYTES)
def test_a_free_block_is_a_candidate_if_the_host_holds_a_byte_of_it(free: set[int], held: set[int]) -> None:
    free_runs: list[BlockRun] = runs(free)
    allocated: list[Range] = runs(held)
    found = list(candidates(free_runs, allocated, BLOCK))
    expected = [block for block in sorted(free) if held & set(range(block * BLOCK, (block + 1) * BLOCK))]
    assert blocks_of(found) == expected
    assert held_bytes(found) == sum(byte // BLOCK in free for byte in held)
    assert all(
        each.held == len(held & set(range(each.begin * BLOCK, each.end * BLOCK))) > 0 for each in found
    )


@given(FREE)
def test_without_a_map_each_free_run_is_a_candidate(free: set[int]) -> None:
    found = list(candidates(runs(free), None, BLOCK))
    assert [(each.begin, each.end) for each in found] == runs(free)
    assert held_bytes(found) == len(free) * BLOCK


@given(FREE, BYTES, st.integers(0, 5 * BLOCK))
def test_no_candidate_is_smaller_than_asked(free: set[int], held: set[int], min_run: int) -> None:
    every = list(candidates(runs(free), runs(held), BLOCK))
    found = list(candidates(runs(free), runs(held), BLOCK, min_run))
    assert found == [each for each in every if (each.end - each.begin) * BLOCK >= min_run]

"""The free runs of committed metadata are the blocks without a reference, in every window."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thin.ram_pool import RamPool
from thinsim.thin.metadata.free_runs import BlockRun, free_runs
from thinsim.thin.metadata.view import MetadataView

BLOCKS = 40000
"""Three bitmaps, the last of them in part."""

USED = st.lists(st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, 9000)), max_size=6)
EDGES = st.sampled_from([0, 1, 16319, 16320, 16321, 32640, BLOCKS - 1, BLOCKS, BLOCKS + 5])


def runs_of(ram: RamPool, begin: int = 0, end: int = BLOCKS) -> list[BlockRun]:
    return list(free_runs(MetadataView(ram.metadata).data_counts(), begin, end))


@settings(max_examples=40)
@given(USED, EDGES, EDGES)
def test_the_runs_are_the_blocks_without_a_reference(
    used: list[tuple[int, int]], one: int, other: int
) -> None:
    ram = RamPool(BLOCKS, 1, metadata_blocks=300)
    taken: set[int] = set()
    for first, length in used:
        end = min(BLOCKS, first + length)
        ram.pool.metadata.increment(first, end)
        taken.update(range(first, end))
    ram.pool.metadata.commit()
    begin, end = sorted((one, other))
    found = runs_of(ram, begin, end)
    assert [block for run in found for block in range(*run)] == [
        block for block in range(begin, min(end, BLOCKS)) if block not in taken
    ]
    assert all(left[1] < right[0] for left, right in pairwise(found)), "joined"


def test_what_is_not_committed_is_not_seen() -> None:
    ram = RamPool(64, 1)
    ram.pool.metadata.increment(0, 10)
    assert runs_of(ram, 0, 64) == [(0, 64)]
    ram.pool.metadata.commit()
    assert runs_of(ram, 0, 64) == [(10, 64)]


def test_a_block_of_a_metadata_snapshot_is_not_free() -> None:
    ram = RamPool(64, 8)
    device = ram.thin(1)
    ram.write_blocks(device, 0, 5)
    ram.pool.close_thin(device)
    ram.message("reserve_metadata_snap")
    ram.message("delete 1")
    ram.commit()
    assert runs_of(ram, 0, 64) == [(5, 64)]
    ram.message("release_metadata_snap")
    ram.commit()
    assert runs_of(ram, 0, 64) == [(0, 64)]

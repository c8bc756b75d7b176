"""Each wanted data block has a number of its own, and no other block has one."""

from hypothesis import given
from hypothesis import strategies as st

from thinsim.thin.metadata.wanted_blocks import WantedBlocks


@given(st.sets(st.integers(0, 60)), st.integers(0, 70))
def test_blocks_are_numbered_in_order_up_to_the_limit(blocks: set[int], most: int) -> None:
    numbers = sorted(blocks)
    runs: list[tuple[int, int]] = []
    for block in numbers:
        if runs and runs[-1][1] == block:
            runs[-1] = runs[-1][0], block + 1
        else:
            runs.append((block, block + 1))
    wanted = WantedBlocks(runs, most)
    assert wanted.total == min(len(blocks), most)
    assert wanted.cut == (len(blocks) > most)
    places = {block: wanted.place(block) for block in range(-1, 65)}
    kept = dict(zip(numbers[:most], range(most), strict=False))
    assert places == {block: kept.get(block) for block in range(-1, 65)}

"""Each used data block belongs to one thin device, or is shared, compared with a model of single blocks."""

from hypothesis import given
from hypothesis import strategies as st

from thinsim.node.audit.ownership import ownership, used_blocks
from thinsim.thin.mapping import Run

BLOCK = 4

DEVICES = st.dictionaries(
    st.integers(1, 4), st.lists(st.integers(0, 30), unique=True, max_size=12), max_size=4
)
BYTES = st.sets(st.integers(0, 31 * BLOCK - 1))


def mapping(blocks: list[int]) -> list[Run]:
    return [Run(vblock, block, 1, 0) for vblock, block in enumerate(blocks)]


@given(DEVICES, BYTES)
def test_blocks_are_exclusive_or_shared(devices: dict[int, list[int]], held: set[int]) -> None:
    allocated = [(byte, byte + 1) for byte in sorted(held)]
    found = ownership({number: mapping(blocks) for number, blocks in devices.items()}, allocated, BLOCK)
    assert found.keys() == devices.keys()
    for number, blocks in devices.items():
        others = {block for other, theirs in devices.items() if other != number for block in theirs}
        exclusive = set(blocks) - others
        assert found[number].exclusive == len(exclusive)
        assert found[number].shared == len(blocks) - len(exclusive)
        assert found[number].held == sum(byte // BLOCK in exclusive for byte in held)
    every = {block for blocks in devices.values() for block in blocks}
    assert used_blocks(map(mapping, devices.values())) == len(every)


def test_without_a_map_of_the_host_all_exclusive_bytes_count() -> None:
    found = ownership({1: mapping([0, 1, 2]), 2: mapping([2])}, None, BLOCK)
    assert (found[1].held, found[2].held) == (2 * BLOCK, 0)

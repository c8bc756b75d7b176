"""The leaked bytes of a moment are compared with a count block by block."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from thinsim.ranges import Range, total
from thinsim.thin.mapping import Run
from thinsim.thin.status import parse_pool_status
from thinsim.watch.moment import HostView, moment

BLOCK = 8
BLOCKS = 24

runs = st.builds(Run, st.integers(0, 9), st.integers(0, BLOCKS - 4), st.integers(1, 4), st.just(0))
mappings = st.dictionaries(st.integers(0, 3), st.lists(runs, max_size=4))
bytes_allocated = st.sets(st.integers(0, BLOCKS * BLOCK - 1))


def ranges(positions: set[int]) -> Sequence[Range]:
    found: list[Range] = []
    for position in sorted(positions):
        if found and found[-1][1] == position:
            found[-1] = (found[-1][0], position + 1)
        else:
            found.append((position, position + 1))
    return found


def host(positions: set[int]) -> HostView:
    found = ranges(positions)
    return HostView(found, total(found))


@given(mappings, bytes_allocated)
def test_leaked_bytes_are_allocated_on_the_host_and_in_no_mapping(
    mapped: dict[int, list[Run]], allocated: set[int]
) -> None:
    blocks = {
        run.data_block + number for runs in mapped.values() for run in runs for number in range(run.length)
    }
    status = parse_pool_status(
        f"0 2048 thin-pool 0 1/2 {len(blocks)}/{BLOCKS} - rw discard_passdown queue_if_no_space - 1024 "
    )
    found = moment(0.0, status, BLOCK, host(allocated), mapped, (), given_back=0, punches=0)
    leaked = {position for position in allocated if position // BLOCK not in blocks}
    assert found.leaked == len(leaked)
    assert found.host == len(allocated)
    assert found.leaked_at_least <= found.leaked
    unknown = moment(0.0, status, BLOCK, host(allocated), None, (), given_back=0, punches=0)
    assert (unknown.leaked, unknown.leaked_at_least) == (None, found.leaked_at_least)
    nowhere = moment(0.0, status, BLOCK, None, mapped, (), given_back=None, punches=None)
    assert (nowhere.host, nowhere.leaked, nowhere.leaked_at_least) == (None, None, 0)

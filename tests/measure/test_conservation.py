"""Host bytes freed are the sum of the ledger, or the run ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinsim.measure.conservation import ConservationError, exchange
from thinsim.rig.interface import HostAllocation

BLOCK = 4096


def ranges(blocks: set[int]) -> list[tuple[int, int]]:
    return [(block * BLOCK, (block + 1) * BLOCK) for block in sorted(blocks)]


def test_a_punch_that_the_ledger_saw_is_an_exchange() -> None:
    moved = exchange("remove", ranges({1, 2, 3}), ranges({1}), 2 * BLOCK, 0)
    assert (moved.host_freed, moved.ledger_freed, moved.host_grown) == (2 * BLOCK, 2 * BLOCK, 0)


def test_host_bytes_lost_behind_the_ledgers_back_end_the_run() -> None:
    with pytest.raises(ConservationError, match=r"step 'remove'.*8192.*ledger has 4096"):
        exchange("remove", ranges({1, 2}), [], BLOCK, 0)


def test_a_ledger_that_claims_more_than_the_host_got_ends_the_run() -> None:
    with pytest.raises(ConservationError, match="ledger has 8192"):
        exchange("remove", ranges({1}), [], 2 * BLOCK, 0)


def test_a_claim_without_any_allocation_ends_the_run() -> None:
    with pytest.raises(ConservationError):
        exchange("remove", [], [], BLOCK, 0)


def test_blocks_written_and_punched_within_one_step_are_explained_by_its_writes() -> None:
    moved = exchange("fstrim", [], [], 3 * BLOCK, 3 * BLOCK)
    assert (moved.host_freed, moved.host_grown) == (3 * BLOCK, 3 * BLOCK)


@given(st.data())
def test_the_law_holds_for_every_history_of_writes_and_punches(data: st.DataObject) -> None:
    before = data.draw(st.sets(st.integers(0, 15)))
    allocated, freed, written = set(before), 0, 0
    for is_write, block in data.draw(st.lists(st.tuples(st.booleans(), st.integers(0, 15)))):
        if is_write:
            allocated.add(block)
            written += BLOCK
        elif block in allocated:
            allocated.remove(block)
            freed += BLOCK
    moved = exchange("any", ranges(before), ranges(allocated), freed, written)
    assert moved.host_freed == freed
    assert len(allocated) * BLOCK == len(before) * BLOCK + moved.host_grown - moved.host_freed


def test_a_write_can_make_a_host_allocate_a_whole_unit_and_no_more() -> None:
    clusters = HostAllocation((), 0, held=(), unit=1 << 20, maps_what_it_holds=False)
    assert clusters.most_grown_by(2 * BLOCK) == 2 << 20
    assert HostAllocation((), 0, held=(), unit=1024).most_grown_by(BLOCK) == BLOCK
    written = clusters.most_grown_by(BLOCK)
    assert exchange("fstrim", [], [], 1 << 20, written).host_freed == 1 << 20
    with pytest.raises(ConservationError, match="explain 1048576 at most"):
        exchange("fstrim", [], [], 2 << 20, written)


def test_what_the_host_holds_is_distinguished_from_what_the_file_maps() -> None:
    extents = HostAllocation([(0, BLOCK)], 0, held=[(1 << 30, (1 << 30) + 32 * BLOCK)])
    assert extents.allocated == 32 * BLOCK

"""Every leaked byte has its owner, and a byte without one ends the run."""

import pytest

from thinsim.errors import InvariantError
from thinsim.measure.attribution import Leak, LeakBook, LeakOrigin, LeakReason, Owner
from thinsim.snapshotter.events import DeviceEvent, DeviceEventKind, DiscardSkipped
from thinsim.thin.mapping import Run

BLOCK = 65536


def skipped(snapshot: str, thin_id: int, why: DiscardSkipped) -> DeviceEvent:
    return DeviceEvent(DeviceEventKind.DISCARD_SKIPPED, snapshot, f"pool-snap-{thin_id}", thin_id, why)


def discarded(snapshot: str, thin_id: int) -> DeviceEvent:
    return DeviceEvent(DeviceEventKind.DISCARDED, snapshot, f"pool-snap-{thin_id}", thin_id, "")


def test_blocks_deleted_without_discard_leak_to_their_snapshot() -> None:
    book = LeakBook(BLOCK)
    book.step("write", {1: [Run(0, 0, 3, 0)]}, [], passdown=True)
    freed = book.step("remove a", {}, [skipped("a", 1, DiscardSkipped.OFF)], passdown=True)
    assert freed == 3
    owner = Owner("a", 1, "remove a", DiscardSkipped.OFF)
    lost = 2 * BLOCK + 4096
    assert book.leaks([(0, lost)]) == [Leak(owner, 3, lost, (LeakOrigin("write", lost, 0),))]


def test_a_shared_block_leaks_to_whoever_gives_it_up_last() -> None:
    book = LeakBook(BLOCK)
    book.step("write", {1: [Run(0, 0, 2, 0)], 2: [Run(0, 0, 1, 0), Run(1, 5, 1, 1)]}, [], passdown=True)
    assert (
        book.step("remove b", {1: [Run(0, 0, 2, 0)]}, [skipped("b", 2, DiscardSkipped.OFF)], passdown=True)
        == 1
    )
    assert book.step("remove a", {}, [skipped("a", 1, DiscardSkipped.NOT_ACTIVE)], passdown=True) == 2
    by_snapshot = {
        leak.owner.snapshot: leak.blocks for leak in book.leaks([(0, 2 * BLOCK), (5 * BLOCK, 6 * BLOCK)])
    }
    assert by_snapshot == {"a": 2, "b": 1}


def test_a_block_that_is_mapped_again_no_longer_leaks() -> None:
    book = LeakBook(BLOCK)
    book.step("write", {1: [Run(0, 7, 1, 0)]}, [], passdown=True)
    book.step("remove a", {}, [skipped("a", 1, DiscardSkipped.OFF)], passdown=True)
    book.step("write", {2: [Run(3, 7, 1, 0)]}, [], passdown=True)
    assert book.leaks([(7 * BLOCK, 8 * BLOCK)]) == []


def test_a_discarded_block_that_is_still_allocated_has_a_reason() -> None:
    alone, shared = {1: [Run(0, 0, 1, 0)]}, {1: [Run(0, 0, 1, 0)], 2: [Run(0, 0, 1, 0)]}
    for passdown, before, why in (
        (False, alone, LeakReason.NOT_PASSED_DOWN),
        (True, shared, LeakReason.SHARED),
        (True, alone, LeakReason.KEPT_BELOW),
    ):
        book = LeakBook(BLOCK)
        book.step("write", before, [], passdown=passdown)
        book.step("remove a", {}, [discarded("a", 1)], passdown=passdown)
        assert [leak.owner.reason for leak in book.leaks([(0, BLOCK)])] == [why]


def test_blocks_that_vanish_without_a_removal_are_named_as_such() -> None:
    book = LeakBook(BLOCK)
    book.step("write", {1: [Run(0, 0, 1, 0)]}, [], passdown=True)
    book.step("overwrite", {1: [Run(0, 1, 1, 1)]}, [], passdown=True)
    (leak,) = book.leaks([(0, 2 * BLOCK)])
    assert (leak.owner.thin_id, leak.owner.reason) == (1, LeakReason.UNMAPPED)


def test_an_allocated_block_that_nobody_ever_had_ends_the_run() -> None:
    book = LeakBook(BLOCK)
    with pytest.raises(
        InvariantError, match="data block 4 has 4096 bytes on the host, but no thin device ever mapped it"
    ):
        book.leaks([(4 * BLOCK, 4 * BLOCK + 4096)])


def test_a_host_that_rounds_has_bytes_that_nobody_wrote_and_no_leak_of_them() -> None:
    book = LeakBook(BLOCK)
    book.step("write", {1: [Run(0, 4, 1, 0)], 2: [Run(0, 5, 1, 0)]}, [], passdown=True)
    book.step("remove b", {1: [Run(0, 4, 1, 0)]}, [skipped("b", 2, DiscardSkipped.OFF)], passdown=True)
    huge = [(0, 32 * BLOCK)]
    with pytest.raises(InvariantError, match="no thin device ever mapped it"):
        book.leaks(huge)
    [leak] = book.leaks(huge, rounded=True)
    assert (leak.owner.snapshot, leak.bytes) == ("b", BLOCK)
    assert book.needed(huge) == BLOCK


def test_the_bytes_of_a_leak_name_the_step_that_took_their_blocks() -> None:
    book = LeakBook(BLOCK)
    book.step("prepare a", {1: [Run(0, 0, 2, 0)]}, [], passdown=True)
    book.step("write data in a", {1: [Run(0, 0, 3, 0)]}, [], passdown=True, files=4096)
    book.step("remove a", {}, [skipped("a", 1, DiscardSkipped.OFF)], passdown=True)
    (leak,) = book.leaks([(0, 3 * BLOCK - 4096)])
    assert leak.origins == (
        LeakOrigin("prepare a", 2 * BLOCK, 0),
        LeakOrigin("write data in a", BLOCK - 4096, 4096),
    )
    assert sum(origin.bytes for origin in leak.origins) == leak.bytes


def test_a_block_that_leaks_again_names_the_step_that_took_it_last() -> None:
    book = LeakBook(BLOCK)
    for key, thin_id in (("a", 1), ("b", 2)):
        book.step(f"prepare {key}", {thin_id: [Run(0, 0, 1, 0)]}, [], passdown=True)
        book.step(f"remove {key}", {}, [skipped(key, thin_id, DiscardSkipped.OFF)], passdown=True)
    (leak,) = book.leaks([(0, BLOCK)])
    assert leak.origins == (LeakOrigin("prepare b", BLOCK, 0),)


@pytest.mark.parametrize(("second", "files"), [(2048, 6144), (None, None)])
def test_the_files_of_steps_of_one_name_are_added_up(second: int | None, files: int | None) -> None:
    book = LeakBook(BLOCK)
    book.step("write data in a", {1: [Run(0, 0, 1, 0)]}, [], passdown=True, files=4096)
    book.step("write data in a", {1: [Run(0, 0, 2, 0)]}, [], passdown=True, files=second)
    book.step("remove a", {}, [skipped("a", 1, DiscardSkipped.OFF)], passdown=True)
    (leak,) = book.leaks([(0, 2 * BLOCK)])
    assert leak.origins == (LeakOrigin("write data in a", 2 * BLOCK, files),)

"""The ledger's ring forgets old events, its totals forget nothing, and subscribers cost nothing."""

import re
import subprocess
import sys
from contextlib import aclosing

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from fuse_backing.events import LedgerEvent, Missed, Totals
from fuse_backing.faults import FaultKind, Operation
from fuse_backing.ledger import OTHER_FILES, Ledger


def record(
    ledger: Ledger, file: str = "a", operation: Operation = Operation.PUNCH, freed: int = 0, errno: int = 0
) -> LedgerEvent:
    sequence = ledger.record(
        time=1.5,
        file=file,
        operation=operation,
        mode=3,
        offset=4096,
        length=8192,
        allocated=4096,
        freed=freed,
        errno=errno,
        duration=0.25,
    )
    return ledger.events(sequence - 1)[0]


def test_an_event_gets_the_next_sequence_number() -> None:
    ledger = Ledger()
    assert [record(ledger).sequence for _ in range(3)] == [1, 2, 3]
    assert [event.sequence for event in ledger.events()] == [1, 2, 3]
    assert [event.sequence for event in ledger.events(since=2)] == [3]
    assert ledger.events(since=3) == []


def test_an_empty_ledger_has_no_events() -> None:
    ledger = Ledger()
    assert ledger.totals == Totals()
    assert ledger.events() == []
    assert ledger.totals_by_file == {}


def test_a_ledger_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 event"):
        Ledger(0)


def test_a_refused_punch_counts_as_an_error_and_frees_nothing() -> None:
    ledger = Ledger()
    record(ledger, errno=5)
    assert ledger.totals == Totals(events=1, errors=1)


def test_punched_and_zeroed_bytes_are_counted_apart() -> None:
    ledger = Ledger()
    record(ledger, freed=4096)
    record(ledger, operation=Operation.ZERO)
    assert ledger.totals == Totals(
        events=2, punched_bytes=8192, zeroed_bytes=8192, allocated=8192, freed=4096
    )


def test_faults_are_counted_and_kept_apart_from_what_was_punched() -> None:
    ledger = Ledger()
    for operation, fault, number in (
        (Operation.PUNCH, FaultKind.LIE, 0),
        (Operation.PUNCH, FaultKind.ERROR, 5),
        (Operation.WRITE, FaultKind.FULL, 28),
        (Operation.READ, FaultKind.DELAY, 0),
        (Operation.FSYNC, FaultKind.CRASH, 0),
    ):
        ledger.record(
            time=1.5,
            file="a",
            operation=operation,
            mode=0,
            offset=0,
            length=100,
            allocated=0,
            freed=0,
            errno=number,
            duration=0,
            fault=fault,
        )
    assert ledger.totals == Totals(events=5, punched_bytes=100, errors=2, faults=5)
    assert [(event.operation, event.fault) for event in ledger.events()][2] == ("write", "full")
    assert [LedgerEvent.from_json(event.to_json()) for event in ledger.events()] == ledger.events()
    assert sum(bucket.events for bucket in ledger.by_offset("a").buckets) == 1  # the lie: it was "punched"


def test_more_files_than_the_ledger_has_names_for_share_one_and_lose_nothing() -> None:
    ledger = Ledger(8)
    for number in range(ledger.most_names + 1001):
        record(ledger, str(number), freed=1)
    totals = ledger.totals_by_file
    assert len(totals) == ledger.most_names + 1
    assert totals[OTHER_FILES].freed == 1001
    assert sum(each.freed for each in totals.values()) == ledger.totals.freed == ledger.most_names + 1001
    assert ledger.events()[-1].file == OTHER_FILES
    assert sum(bool(ledger.by_offset(file).buckets) for file in totals) == 1024  # histograms are fewer


def test_files_that_were_open_without_an_event_take_no_room_from_others() -> None:
    ledger = Ledger(8)
    held = ledger.begin_use("held")
    assert ledger.begin_use("held") == held
    for number in range(ledger.most_names + 1000):
        ledger.end_use(ledger.begin_use(f"seen {number}"))
    ledger.end_use(held)
    assert ledger.index_of("held") == held  # it has another user
    record(ledger, "held", freed=1)
    ledger.end_use(held)
    record(ledger, "new", freed=2)
    record(ledger, "held", freed=4)
    assert {file: totals.freed for file, totals in ledger.totals_by_file.items()} == {"held": 5, "new": 2}
    assert [event.file for event in ledger.events()] == ["held", "new", "held"]


def test_totals_are_kept_for_each_file() -> None:
    ledger = Ledger()
    record(ledger, "a", freed=1)
    record(ledger, "b", freed=10)
    record(ledger, "a", freed=100)
    assert {file: totals.freed for file, totals in ledger.totals_by_file.items()} == {"a": 101, "b": 10}


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1 << 40))),
    st.integers(0, 30),
)
def test_the_ring_forgets_the_oldest_and_totals_forget_nothing(
    capacity: int, punches: list[tuple[str, int]], since: int
) -> None:
    ledger = Ledger(capacity)
    recorded = [record(ledger, file, freed=freed) for file, freed in punches]
    assert ledger.events() == recorded[-capacity:]
    assert ledger.events(since) == [event for event in recorded[-capacity:] if event.sequence > since]
    assert ledger.events(since, limit=2) == ledger.events(since)[:2]
    assert ledger.totals.freed == sum(freed for _, freed in punches)
    assert sum(totals.freed for totals in ledger.totals_by_file.values()) == ledger.totals.freed


def test_events_and_totals_survive_json() -> None:
    ledger = Ledger()
    event = record(ledger, freed=7)
    assert LedgerEvent.from_json({**event.to_json(), "newer": 1}) == event
    assert Totals.from_json(ledger.totals.to_json()) == ledger.totals


async def test_a_subscriber_gets_old_and_new_events_in_order(autojump_clock: trio.testing.MockClock) -> None:
    ledger = Ledger()
    record(ledger)
    got: list[int] = []

    async def subscriber() -> None:
        async with aclosing(ledger.subscribe(since=0)) as items:
            async for item in items:
                assert isinstance(item, LedgerEvent)
                got.append(item.sequence)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscriber)
        await trio.testing.wait_all_tasks_blocked()
        assert got == [1]
        record(ledger)
        record(ledger)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert got == [1, 2, 3]


async def test_a_slow_subscriber_learns_how_many_events_it_missed() -> None:
    ledger = Ledger(capacity=4)
    async with aclosing(ledger.subscribe(since=0)) as items:
        record(ledger)
        assert await anext(items) == ledger.events()[0]
        for _ in range(10):
            record(ledger)
        assert await anext(items) == Missed(6)
        assert [await anext(items) for _ in range(4)] == ledger.events()


async def test_events_that_a_subscriber_has_been_handed_can_be_overwritten_without_loss() -> None:
    ledger = Ledger(capacity=4)
    for _ in range(4):
        record(ledger)
    got = []
    async with aclosing(ledger.subscribe(since=0)) as items:
        for _ in range(7):
            item = await anext(items)
            assert isinstance(item, LedgerEvent)
            got.append(item.sequence)
            if len(got) == 1:
                for _ in range(3):
                    record(ledger)
    assert got == [1, 2, 3, 4, 5, 6, 7]


async def test_events_recorded_without_python_wake_subscribers() -> None:
    ledger = Ledger()
    index = ledger.index_of("a")
    async with trio.open_nursery() as nursery, aclosing(ledger.subscribe()) as items:
        nursery.start_soon(ledger.watch)

        async def punch_elsewhere() -> None:
            await trio.testing.wait_all_tasks_blocked(0.01)
            await trio.to_thread.run_sync(ledger.account.record, 1, index, 0, 3, 0, 4096, 4096, 4096, 0, 1, 0)

        nursery.start_soon(punch_elsewhere)
        with trio.fail_after(60):
            item = await anext(items)
        assert isinstance(item, LedgerEvent)
        assert (item.file, item.freed) == ("a", 4096)
        nursery.cancel_scope.cancel()


@given(st.lists(st.tuples(st.integers(0, 1 << 34), st.integers(1, 1 << 24), st.integers(0, 1 << 24))))
def test_the_histogram_by_offset_loses_no_byte_however_far_offsets_go(
    punches: list[tuple[int, int, int]],
) -> None:
    ledger = Ledger(1)
    for offset, length, freed in punches:
        ledger.account.record(1, ledger.index_of("a"), 0, 3, offset, length, freed, freed, 0, 1, 0)
    found = ledger.by_offset("a")
    assert len(found.buckets) <= 256
    assert sum(bucket.events for bucket in found.buckets) == len(punches)
    assert sum(bucket.bytes for bucket in found.buckets) == sum(length for _, length, _ in punches)
    assert sum(bucket.freed for bucket in found.buckets) == sum(freed for *_, freed in punches)
    for position, bucket in enumerate(found.buckets):
        covered = range(int(position * found.width), int((position + 1) * found.width))
        begun = [offset for offset, _, _ in punches if offset in covered]
        assert bucket.events == len(begun)


def test_a_million_events_lose_no_total() -> None:
    ledger = Ledger(1024)
    index = ledger.index_of("a")
    record_one = ledger.account.record
    for number in range(1_000_000):
        record_one(number * 1000, index, 0, 3, number * 65536, 65536, 65536, 4096, 0, 10, 0)
    assert ledger.totals.events == 1_000_000
    assert ledger.totals.freed == 4096 * 1_000_000
    assert ledger.totals.punched_bytes == 65536 * 1_000_000
    assert sum(bucket.freed for bucket in ledger.by_offset("a").buckets) == ledger.totals.freed
    assert len(ledger.events()) == 1024


def test_an_account_that_is_not_built_names_the_command_that_builds_it() -> None:
    unbuilt = "import sys; sys.modules['fuse_backing._native'] = None; "
    unbuilt += "from fuse_backing.ledger import Ledger; Ledger()"
    done = subprocess.run([sys.executable, "-c", unbuilt], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"C extension is not built .* run: pip install -e \.", done.stderr)

"""The device store is tested: names, thin ids, and their records after a crash or a failure."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.device_store import DeviceRecord, DeviceStore
from thinsim.snapshotter.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from thinsim.thin.ids import MAX_THIN_ID


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[DeviceStore]:
    store = DeviceStore(tmp_path / "pool.db")
    yield store
    store.close()


def test_a_new_device_is_unknown_and_has_id_1(metadata: DeviceStore) -> None:
    added = metadata.add("a", 4096, parent_name="base")
    assert added == DeviceRecord("a", 1, 4096, "base", DeviceState.UNKNOWN, "")
    assert metadata.get("a") == added


def test_all_survives_reopening(tmp_path: Path, metadata: DeviceStore) -> None:
    metadata.add("b", 1)
    metadata.add("a", 1)
    metadata.set_state("a", DeviceState.REMOVING)
    metadata.close()
    again = DeviceStore(tmp_path / "pool.db")
    assert [(d.name, d.thin_id, d.state) for d in again.devices()] == [
        ("a", 2, DeviceState.REMOVING),
        ("b", 1, DeviceState.UNKNOWN),
    ]
    again.close()


def test_an_empty_name_is_refused_and_takes_no_id(metadata: DeviceStore) -> None:
    with pytest.raises(InvalidArgumentError):
        metadata.add("", 1)
    assert metadata.add("a", 1).thin_id == 1


def test_a_duplicate_is_refused_and_takes_no_id(metadata: DeviceStore) -> None:
    metadata.add("a", 1)
    with pytest.raises(AlreadyExistsError, match="'a'"):
        metadata.add("a", 1)
    assert metadata.add("b", 1).thin_id == 2


def test_freed_ids_come_back_in_the_order_of_their_text(metadata: DeviceStore) -> None:
    for number in range(1, 13):
        assert metadata.add(f"d{number}", 1).thin_id == number
    for number in (2, 11, 9, 1, 10):
        metadata.remove(f"d{number}")
    assert [metadata.add(f"e{n}", 1).thin_id for n in range(6)] == [1, 10, 11, 2, 9, 13]


def test_a_faulty_name_gets_another_id_and_the_old_one_is_lost(metadata: DeviceStore) -> None:
    metadata.add("a", 1)
    metadata.mark_faulty("a")
    assert metadata.get("a").state is DeviceState.FAULTY
    again = metadata.add("a", 2)
    assert (again.thin_id, again.state) == (2, DeviceState.UNKNOWN)
    metadata.remove("a")
    assert [metadata.add(name, 1).thin_id for name in "abc"] == [2, 3, 4]


def test_states_and_errors(metadata: DeviceStore) -> None:
    metadata.add("a", 1)
    metadata.set_state("a", DeviceState.ACTIVATING)
    metadata.set_error("a", "no luck")
    assert (metadata.get("a").state, metadata.get("a").error) == (DeviceState.ACTIVATING, "no luck")
    metadata.set_result("a", DeviceState.ACTIVATED)
    assert (metadata.get("a").state, metadata.get("a").error) == (DeviceState.ACTIVATED, "")


def test_the_last_id_is_never_allocated(tmp_path: Path, metadata: DeviceStore) -> None:
    metadata.add("a", 1)
    with closing(sqlite3.connect(tmp_path / "pool.db")) as file, file:
        file.execute("INSERT INTO thin_ids VALUES (?, 1)", (MAX_THIN_ID - 1,))
    with pytest.raises(FailedPreconditionError, match="no thin id"):
        metadata.add("b", 1)
    metadata.remove("a")
    assert metadata.add("b", 1).thin_id == 1


@pytest.mark.parametrize("verb", ["get", "remove", "mark_faulty"])
def test_a_missing_device_is_not_found(metadata: DeviceStore, verb: str) -> None:
    with pytest.raises(NotFoundError, match="'a'"):
        getattr(metadata, verb)("a")
    with pytest.raises(NotFoundError):
        metadata.set_state("a", DeviceState.CREATED)


def test_a_closed_store_is_refused(metadata: DeviceStore) -> None:
    metadata.close()
    metadata.close()
    with pytest.raises(FailedPreconditionError, match="closed"):
        metadata.devices()


class ThinIds(RuleBasedStateMachine):
    """The machine checks thin ids against bbolt's rule: the first free id in text order, else a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.metadata = DeviceStore(Path(":memory:"))
        self.taken: dict[str, int] = {}
        self.faulty: set[int] = set()
        self.free: set[int] = set()
        self.highest = 0
        self.names = 0

    @rule()
    def add(self) -> None:
        self.names += 1
        name = f"d{self.names}"
        if self.free:
            expected = min(self.free, key=str)
            self.free.remove(expected)
        else:
            expected = self.highest = self.highest + 1
        assert self.metadata.add(name, 1).thin_id == expected
        self.taken[name] = expected

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.taken)))
        self.metadata.remove(name)
        self.free.add(self.taken.pop(name))

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), again=st.booleans())
    def fail(self, data: st.DataObject, again: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.taken)))
        self.metadata.mark_faulty(name)
        self.faulty.add(self.taken.pop(name))
        if again:
            self.taken[name] = thin_id = self.metadata.add(name, 1).thin_id
            self.free.discard(thin_id)
            self.highest = max(self.highest, thin_id)

    @invariant()
    def no_id_serves_two_ends(self) -> None:
        ids = [*self.taken.values(), *self.faulty, *self.free]
        assert sorted(ids) == list(range(1, self.highest + 1))

    def teardown(self) -> None:
        self.metadata.close()


TestThinIds = ThinIds.TestCase
TestThinIds.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

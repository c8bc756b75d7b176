"""The store of snapshots follows the rules of the metastore in containerd; transactions are atomic."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from thinsim.snapshotter.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    SnapshotterError,
)
from thinsim.snapshotter.interface import Kind, Usage
from thinsim.snapshotter.metastore import MetaStore
from thinsim.snapshotter.snapshot_tables import SnapshotRecord, SnapshotWriter


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MetaStore]:
    store = MetaStore(tmp_path / "metadata.db")
    yield store
    store.close()


class GivenUpError(Exception):
    pass


def add(writer: SnapshotWriter, kind: Kind, key: str, parent: str = "") -> SnapshotRecord:
    record = writer.plan(kind, key, parent, {})
    writer.add(record)
    return record


async def test_a_failed_transaction_leaves_nothing_and_takes_no_id(store: MetaStore) -> None:
    def add_and_fail() -> None:
        with store.write() as writer:
            add(writer, Kind.ACTIVE, "a")
            raise GivenUpError

    with pytest.raises(GivenUpError):
        add_and_fail()
    assert store.read.all() == []
    with store.write() as writer:
        assert add(writer, Kind.ACTIVE, "b").id == 1


async def test_a_planned_record_is_read_back(store: MetaStore) -> None:
    planned = store.read.plan(Kind.ACTIVE, "a", "", {"label": "1", "empty": ""})
    with pytest.raises(NotFoundError):
        store.read.get("a")
    with store.write() as writer:
        writer.add(planned)
    assert store.read.get("a") == planned


async def test_a_reserved_id_is_planned_once(store: MetaStore) -> None:
    with store.write() as writer:
        first = writer.plan(Kind.ACTIVE, "a", "", {})
        writer.reserve(first)
        second = writer.plan(Kind.ACTIVE, "b", "", {})
        writer.reserve(second)
    assert (first.id, second.id) == (1, 2)
    with store.write() as writer:
        writer.add(second)
        writer.add(first)
        assert add(writer, Kind.ACTIVE, "c").id == 3


async def test_ids_are_never_reused(tmp_path: Path, store: MetaStore) -> None:
    with store.write() as writer:
        add(writer, Kind.ACTIVE, "a")
        writer.remove("a")
    store.close()
    again = MetaStore(tmp_path / "metadata.db")
    with again.write() as writer:
        assert add(writer, Kind.ACTIVE, "a").id == 2
    again.close()


async def test_commit_renames_and_replaces(store: MetaStore) -> None:
    with store.write() as writer:
        active = writer.plan(Kind.ACTIVE, "a", "", {"old": "1"})
        writer.add(active)
        writer.commit("a", "c", Usage(4096, 3), {"new": "2", "empty": ""})
    committed = store.read.get("c")
    assert committed.id == active.id
    assert (committed.info.kind, committed.info.name) == (Kind.COMMITTED, "c")
    assert committed.info.labels == {"new": "2"}
    assert committed.usage == Usage(4096, 3)
    assert committed.info.created == committed.info.updated > active.info.created
    with pytest.raises(NotFoundError):
        store.read.get("a")


async def test_rules_of_creation(store: MetaStore) -> None:
    with store.write() as writer:
        add(writer, Kind.ACTIVE, "a")
        add(writer, Kind.ACTIVE, "b")
        with pytest.raises(AlreadyExistsError):
            add(writer, Kind.VIEW, "a")
        with pytest.raises(NotFoundError):
            add(writer, Kind.ACTIVE, "x", "nowhere")
        with pytest.raises(InvalidArgumentError, match="not a committed"):
            add(writer, Kind.ACTIVE, "x", "a")
        with pytest.raises(AlreadyExistsError):
            writer.commit("a", "b", Usage(0), {})
        with pytest.raises(InvalidArgumentError):
            add(writer, Kind.ACTIVE, "")


async def test_a_view_is_not_committed(store: MetaStore) -> None:
    with store.write() as writer:
        add(writer, Kind.VIEW, "v")
        with pytest.raises(FailedPreconditionError):
            writer.commit("v", "c", Usage(0), {})


async def test_a_parent_is_not_removed(store: MetaStore) -> None:
    with store.write() as writer:
        add(writer, Kind.ACTIVE, "a")
        writer.commit("a", "c", Usage(0), {})
        child = add(writer, Kind.ACTIVE, "child", "c")
        assert child.info.parent == "c"
        with pytest.raises(FailedPreconditionError, match="cannot remove snapshot 'c'"):
            writer.remove("c")
        writer.remove("child")
        assert writer.remove("c").info.name == "c"


async def test_the_owner_of_a_device_outlives_its_snapshot(store: MetaStore) -> None:
    with store.write() as writer:
        record = add(writer, Kind.VIEW, "v")
        writer.remove("v")
        writer.defer(record)
        add(writer, Kind.ACTIVE, "v")
    owner = store.read.owner(1)
    assert owner is not None
    assert (owner.name, owner.kind) == ("v", Kind.VIEW)
    with store.write() as writer:
        writer.forget(1)
    assert store.read.owner(1) is None
    assert store.read.owner(2) is not None


async def test_walk_order_is_that_of_bytes(store: MetaStore) -> None:
    with store.write() as writer:
        for key in ("b", "a", "B", "é", "a/1"):
            add(writer, Kind.ACTIVE, key)
    assert [record.info.name for record in store.read.all()] == ["B", "a", "a/1", "b", "é"]


async def test_another_schema_version_is_refused(tmp_path: Path, store: MetaStore) -> None:
    with closing(sqlite3.connect(tmp_path / "metadata.db")) as file:
        file.execute("PRAGMA user_version = 7")
    with pytest.raises(SnapshotterError, match="version 7"):
        MetaStore(tmp_path / "metadata.db")

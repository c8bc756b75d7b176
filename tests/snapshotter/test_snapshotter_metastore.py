"""The store of snapshots: transactions, and the rules of containerd's store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from thinsim.snapshotter.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    SnapshotterError,
)
from thinsim.snapshotter.interface import Kind, Usage
from thinsim.snapshotter.metastore import MetaStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MetaStore]:
    store = MetaStore(tmp_path / "metadata.db")
    yield store
    store.close()


class RefusedError(Exception):
    pass


async def test_a_failed_transaction_leaves_nothing_and_takes_no_id(store: MetaStore) -> None:
    async def create_and_fail() -> None:
        async with store.write() as writer:
            writer.create(Kind.ACTIVE, "a", "", {})
            raise RefusedError

    with pytest.raises(RefusedError):
        await create_and_fail()
    assert store.read.all() == []
    async with store.write() as writer:
        assert writer.create(Kind.ACTIVE, "b", "", {}).id == 1


async def test_readers_see_what_is_committed(store: MetaStore) -> None:
    async with store.write() as writer:
        writer.create(Kind.ACTIVE, "a", "", {})
        assert writer.get("a").id == 1
        with pytest.raises(NotFoundError):
            store.read.get("a")
    assert store.read.get("a").id == 1


async def test_writers_wait_for_one_another(store: MetaStore) -> None:
    order: list[str] = []

    async def write(key: str) -> None:
        async with store.write() as writer:
            order.append(f"{key} begins")
            await trio.testing.wait_all_tasks_blocked()
            writer.create(Kind.ACTIVE, key, "", {})
            order.append(f"{key} ends")

    async with trio.open_nursery() as nursery:
        for key in "abc":
            nursery.start_soon(write, key)
    begun = [line[0] for line in order[::2]]
    assert order == [f"{key} {step}" for key in begun for step in ("begins", "ends")]


async def test_a_begun_transaction_is_not_cancelled(store: MetaStore) -> None:
    with trio.CancelScope() as scope:
        async with store.write() as writer:
            scope.cancel()
            await trio.lowlevel.checkpoint()
            writer.create(Kind.ACTIVE, "a", "", {})
    assert store.read.get("a").id == 1


async def test_waiting_for_a_transaction_can_be_cancelled(store: MetaStore) -> None:
    async with store.write():
        with trio.move_on_after(0) as scope:
            async with store.write():
                raise AssertionError("two writers at once")
    assert scope.cancelled_caught


async def test_ids_are_never_reused(tmp_path: Path, store: MetaStore) -> None:
    async with store.write() as writer:
        writer.create(Kind.ACTIVE, "a", "", {})
        writer.remove("a")
    store.close()
    again = MetaStore(tmp_path / "metadata.db")
    async with again.write() as writer:
        assert writer.create(Kind.ACTIVE, "a", "", {}).id == 2
    again.close()


async def test_commit_renames_and_replaces(store: MetaStore) -> None:
    async with store.write() as writer:
        active = writer.create(Kind.ACTIVE, "a", "", {"old": "1"})
        committed = writer.commit("a", "c", Usage(4096, 3), {"new": "2", "empty": ""})
    assert committed.id == active.id
    assert (committed.info.kind, committed.info.name) == (Kind.COMMITTED, "c")
    assert committed.info.labels == {"new": "2"}
    assert committed.usage == Usage(4096, 3)
    assert committed.info.created == committed.info.updated > active.info.created
    with pytest.raises(NotFoundError):
        store.read.get("a")


async def test_rules_of_creation(store: MetaStore) -> None:
    async with store.write() as writer:
        writer.create(Kind.ACTIVE, "a", "", {})
        writer.create(Kind.ACTIVE, "b", "", {})
        with pytest.raises(AlreadyExistsError):
            writer.create(Kind.VIEW, "a", "", {})
        with pytest.raises(NotFoundError):
            writer.create(Kind.ACTIVE, "x", "nowhere", {})
        with pytest.raises(InvalidArgumentError, match="not a committed"):
            writer.create(Kind.ACTIVE, "x", "a", {})
        with pytest.raises(AlreadyExistsError):
            writer.commit("a", "b", Usage(0), {})
        with pytest.raises(InvalidArgumentError):
            writer.create(Kind.ACTIVE, "", "", {})


async def test_a_view_is_not_committed(store: MetaStore) -> None:
    async with store.write() as writer:
        writer.create(Kind.VIEW, "v", "", {})
        with pytest.raises(FailedPreconditionError):
            writer.commit("v", "c", Usage(0), {})


async def test_a_parent_is_not_removed(store: MetaStore) -> None:
    async with store.write() as writer:
        writer.create(Kind.ACTIVE, "a", "", {})
        writer.commit("a", "c", Usage(0), {})
        child = writer.create(Kind.ACTIVE, "child", "c", {})
        assert child.info.parent == "c"
        with pytest.raises(FailedPreconditionError, match="cannot remove snapshot 'c'"):
            writer.remove("c")
        writer.remove("child")
        assert writer.remove("c").info.name == "c"


async def test_the_owner_of_a_device_outlives_its_snapshot(store: MetaStore) -> None:
    async with store.write() as writer:
        record = writer.create(Kind.VIEW, "v", "", {})
        writer.remove("v")
        writer.defer(record)
        writer.create(Kind.ACTIVE, "v", "", {})
    owner = store.read.owner(1)
    assert owner is not None
    assert (owner.name, owner.kind) == ("v", Kind.VIEW)
    async with store.write() as writer:
        writer.forget(1)
    assert store.read.owner(1) is None
    assert store.read.owner(2) is not None


async def test_walk_order_is_that_of_bytes(store: MetaStore) -> None:
    async with store.write() as writer:
        for key in ("b", "a", "B", "é", "a/1"):
            writer.create(Kind.ACTIVE, key, "", {})
    assert [record.info.name for record in store.read.all()] == ["B", "a", "a/1", "b", "é"]


async def test_another_schema_version_is_refused(tmp_path: Path, store: MetaStore) -> None:
    async with store.write():
        pass
    store._writing.execute("PRAGMA user_version = 7")
    with pytest.raises(SnapshotterError, match="version 7"):
        MetaStore(tmp_path / "metadata.db")

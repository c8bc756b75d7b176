"""Pages that no bucket uses any more show removed records, and a damaged page shows nothing."""

import json
import random
from pathlib import Path

import pytest

from tests.node.containerd.bolt_trees import tree_of
from tests.node.containerd.bolt_writer import BoltShape, BoltTree, BoltWriter, write_bolt
from tests.node.containerd.recorded_databases import SERIES, unpacked
from thinsim.node.containerd.bolt import BoltDatabase, read_database
from thinsim.node.containerd.bolt_unused import values_of
from thinsim.node.containerd.errors import DamagedDatabaseError
from thinsim.node.containerd.former_records import FormerRecords, client_key, former_records
from thinsim.node.containerd.pool_records import pool_of
from thinsim.node.containerd.snapshot_records import snapshots_of

SIZE = 1024


def device(thin_id: int, name: str) -> bytes:
    return json.dumps({"device_id": thin_id, "size": 1, "name": name, "state": 5}).encode()


def devices(*numbers: int) -> BoltTree:
    """Return a POOL.db with a device per number, whose thin id is ten times the number."""
    names = {number: f"pool-snap-{number}" for number in numbers}
    return {
        b"devices": {name.encode(): device(10 * number, name) for number, name in names.items()},
        b"device_ids": {str(10 * number).encode(): b"\1" for number in numbers},
    }


def snapshots(keys: dict[int, str]) -> BoltTree:
    """Return a metadata.db with a snapshot per id, each a child of snapshot 1."""
    fields: BoltTree = {b"kind": b"\3", b"parent": b"default/5/base", b"labels": {b"a": b"b"}}
    return {
        b"v1": {
            b"snapshots": {key.encode(): {b"id": bytes([number]), **fields} for number, key in keys.items()},
            b"parents": {bytes([1, 0, number]): key.encode() for number, key in keys.items()},
        }
    }


def container(key: str, image: str) -> BoltTree:
    fields: BoltTree = {b"image": image.encode(), b"snapshotKey": key.encode(), b"labels": {b"a": b"b"}}
    return {b"v1": {b"default": {b"containers": {key.encode(): fields}}}}


def written(path: Path, *trees: BoltTree) -> BoltDatabase:
    """Return the database after a transaction per tree, with pages that are large enough for no overflow."""
    return read_database(write_bolt(path, *trees, shape=BoltShape(SIZE, inline=False)))


@pytest.fixture
def removed(tmp_path: Path) -> FormerRecords:
    return former_records(
        written(tmp_path / "meta", container("first", "image:1"), {b"v1": {}}),
        written(
            tmp_path / "snapshots",
            snapshots({2: "default/7/extract-1 sha256:a", 3: "default/9/first"}),
            snapshots({2: "default/8/sha256:a"}),
            {b"v1": {}},
        ),
        written(tmp_path / "pool", devices(2, 3), devices(3)),
    )


def test_removed_devices_are_found_by_their_thin_id(removed: FormerRecords) -> None:
    assert removed.devices == {20: {"pool-snap-2"}, 30: {"pool-snap-3"}}


def test_removed_snapshots_are_found_by_their_id(removed: FormerRecords) -> None:
    assert removed.keys_of(2) == ["default/8/sha256:a"]
    assert removed.keys_of(1) == ["default/5/base"], "the parent of both"
    assert removed.keys_of(99) == []
    assert client_key("default/8/sha256:a") == "sha256:a"
    assert client_key("moby/a/b") == "moby/a/b"


def test_the_image_of_a_removed_container_is_found(removed: FormerRecords) -> None:
    assert removed.images == {"first": "image:1"}


def test_the_key_of_the_unpacking_is_used_if_there_is_no_other(tmp_path: Path) -> None:
    empty = written(tmp_path / "empty", {})
    tree = snapshots({2: "default/7/extract-1 sha256:a"})
    found = former_records(empty, written(tmp_path / "snapshots", tree, {b"v1": {}}), empty)
    assert found.keys_of(2) == ["default/7/extract-1 sha256:a"]


def test_present_records_are_not_removed_ones(tmp_path: Path) -> None:
    writer = BoltWriter(tmp_path / "db")
    writer.commit(devices(2))
    writer.close()
    found = read_database(tmp_path / "db")
    assert not [key for items in found.unused for key in values_of(items)]


@pytest.mark.parametrize("series", SERIES)
def test_what_containerd_left_agrees_with_its_present_records(series: str, tmp_path: Path) -> None:
    names = ("meta.db", "metadata.db", "pool.db")
    metadata, snapshots, pool = (read_database(unpacked(series, name, tmp_path)) for name in names)
    found = former_records(metadata, snapshots, pool)
    present = {each.id: key for key, each in snapshots_of(snapshots).items()}
    # The recorded containerd has removed nothing, so each old record is of a device or snapshot that exists.
    assert found.devices == {each.thin_id: {each.name} for each in pool_of(pool).devices.values()}
    assert {number: found.keys_of(number) for number in found.snapshots} == {
        number: [present[number]] for number in found.snapshots
    }
    assert len(found.snapshots) > len(present) // 2


def is_unused(path: Path, page: int, whole: BoltDatabase) -> bool:
    """Return whether the file has the same buckets without *page*."""
    content = bytearray(path.read_bytes())
    content[page * 512 : (page + 1) * 512] = bytes(512)
    without = path.with_name("without")
    without.write_bytes(content)
    try:
        return tree_of(read_database(without).root) == tree_of(whole.root)
    except DamagedDatabaseError:
        return False


@pytest.mark.parametrize("seed", range(30))
def test_damaged_unused_pages_change_nothing_else(tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    path = write_bolt(
        tmp_path / "db",
        {**devices(*range(1, 30)), **snapshots({number: f"a/{number}/b" for number in range(1, 30)})},
        {**devices(1), **container("first", "image:1")},
        devices(1),
        shape=BoltShape(512, 7, 3),
    )
    before = read_database(path)
    content = bytearray(path.read_bytes())
    unused = [page for page in range(2, len(content) // 512) if is_unused(path, page, before)]
    assert unused
    for _ in range(40):
        at = choose.choice(unused) * 512 + choose.randrange(choose.choice((40, 512)))
        content[at] = choose.randrange(256)
        path.write_bytes(content)
        found = read_database(path)
        assert tree_of(found.root) == tree_of(before.root)
        former_records(found, found, found)

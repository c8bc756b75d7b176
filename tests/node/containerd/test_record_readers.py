"""Each database is recognised by its layout, and its records keep values that thinsim does not know."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.node.containerd.bolt_writer import BoltTree, write_bolt
from tests.node.containerd.recorded_databases import unpacked
from thinsim.node.containerd.errors import DamagedDatabaseError, UnknownSchemaError
from thinsim.node.containerd.namespace_records import read_metadata
from thinsim.node.containerd.pool_records import RecordedPool, ThinIdUse, read_pool
from thinsim.node.containerd.references import references
from thinsim.node.containerd.snapshot_records import read_snapshots
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.interface import Kind, Usage

READERS: dict[str, Callable[[Path], object]] = {
    "metadata.db": read_snapshots,
    "pool.db": read_pool,
    "meta.db": read_metadata,
}
NAMES = [
    "Unknown", "Creating", "Created", "Activating", "Activated", "Suspending", "Suspended", "Resuming",
    "Resumed", "Deactivating", "Deactivated", "Removing", "Removed", "Faulty",
]  # fmt: skip


def pool(path: Path, devices: BoltTree, thin_ids: BoltTree) -> RecordedPool:
    return read_pool(write_bolt(path / "pool.db", {b"devices": devices, b"device_ids": thin_ids}))


def device(**fields: object) -> bytes:
    known = {"device_id": 7, "size": 1 << 30, "name": "p-snap-1", "parent_name": "p-snap-0", "state": 2}
    return json.dumps({**known, "error": "", **fields}).encode()


@pytest.mark.parametrize(("number", "name"), list(enumerate(NAMES)))
def test_each_state_of_a_device_has_its_name(tmp_path: Path, number: int, name: str) -> None:
    found = pool(tmp_path, {b"p-snap-1": device(state=number)}, {b"7": b"\1"}).devices["p-snap-1"]
    assert (found.state, found.state_name) == (DeviceState(name), name)


def test_unknown_states_and_uses_are_kept(tmp_path: Path) -> None:
    found = pool(
        tmp_path, {b"d": device(state=14, error="EBUSY", new=1)}, {b"7": b"\3", b"10": b"\2", b"9": b"\0"}
    )
    assert (found.devices["d"].state, found.devices["d"].state_name) == (14, "unknown 14")
    assert found.devices["d"].error == "EBUSY"
    assert list(found.thin_ids.items()) == [(7, 3), (9, ThinIdUse.FREE), (10, ThinIdUse.FAULTY)]


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (b"{", "the record of the device is not JSON"),
        (b"[" * 100_000, "the record of the device is not JSON"),
        (b"\xff\xfe", "the record of the device is not JSON"),
        (b"3", "the record of the device is not a JSON object"),
        (device(state="Created"), "state is 'Created', not a number of 64 bits"),
        (device(device_id=True), "device_id is 'True', not a number of 64 bits"),
        (device(size=-1), "size is '-1', not a number of 64 bits"),
        (device(size=1 << 64), "size is '18446744073709551616', not a number of 64 bits"),
        (device(error=[]), "error is not a string"),
    ],
)
def test_a_bad_record_of_a_device_is_named(tmp_path: Path, record: bytes, fault: str) -> None:
    with pytest.raises(DamagedDatabaseError) as caught:
        pool(tmp_path, {b"p-snap-1": record}, {})
    assert str(caught.value) == f"{tmp_path}/pool.db: devices/p-snap-1: {fault}"


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        (b"x1", b"\1", "device_ids/x1: the key is not a thin id"),
        (b"9" * 30, b"\1", f"device_ids/{'9' * 30}: the key is not a thin id"),
        (b"1", b"", "device_ids/1: 0 bytes are not the use of a thin id"),
    ],
)
def test_a_bad_thin_id_is_named(tmp_path: Path, key: bytes, value: bytes, fault: str) -> None:
    with pytest.raises(DamagedDatabaseError) as caught:
        pool(tmp_path, {}, {key: value})
    assert str(caught.value) == f"{tmp_path}/pool.db: {fault}"


def snapshots(path: Path, **fields: bytes | BoltTree) -> Path:
    named = {name.encode(): value for name, value in fields.items()}
    return write_bolt(path / "metadata.db", {b"v1": {b"snapshots": {b"key": named}, b"parents": {}}})


@pytest.mark.parametrize(
    ("byte", "kind", "name"),
    [(0, 0, "Unknown"), (1, Kind.VIEW, "View"), (2, Kind.ACTIVE, "Active"), (3, Kind.COMMITTED, "Committed"),
     (4, 4, "unknown 4")],
)  # fmt: skip
def test_each_kind_of_snapshot_has_its_name(tmp_path: Path, byte: int, kind: Kind | int, name: str) -> None:
    found = read_snapshots(snapshots(tmp_path, id=b"\x96\1", kind=bytes([byte])))["key"]
    assert (found.id, found.kind, found.kind_name, found.usage) == (150, kind, name, None)


def test_a_negative_usage_of_a_snapshot_is_read(tmp_path: Path) -> None:
    found = read_snapshots(snapshots(tmp_path, id=b"\1", kind=b"\3", size=b"\3", inodes=b"\4"))["key"]
    assert found.usage == Usage(-2, 2)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"kind": b"\1"}, "v1/snapshots/key: the snapshot has no id"),
        ({"id": b"\1", "kind": b""}, "v1/snapshots/key/kind: 0 bytes are not a kind"),
        ({"id": b"\1", "createdat": b"now"}, "v1/snapshots/key/createdat: 6e6f77 is not a binary time"),
        ({"id": b"\1", "labels": {b"a": b"\xff"}}, "v1/snapshots/key/labels/a: byte 0 is not UTF-8"),
    ],
)
def test_a_bad_record_of_a_snapshot_is_named(
    tmp_path: Path, fields: dict[str, bytes | BoltTree], fault: str
) -> None:
    path = snapshots(tmp_path, **fields)
    with pytest.raises(DamagedDatabaseError) as caught:
        read_snapshots(path)
    assert str(caught.value) == f"{path}: {fault}"


@pytest.mark.parametrize("name", READERS)
def test_a_database_that_containerd_has_just_made_has_no_records(tmp_path: Path, name: str) -> None:
    found = READERS[name](write_bolt(tmp_path / name))
    assert found in ({}, RecordedPool({}, {}, 0)) or not getattr(found, "namespaces", True)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("other", READERS)
def test_one_database_is_not_taken_for_another(tmp_path: Path, name: str, other: str) -> None:
    path = unpacked("2.1", other, tmp_path)
    if name == other:
        READERS[name](path)
    elif name == "meta.db" and other == "metadata.db":
        # Both have v1; no namespace of the snapshotter's database has a resource.
        metadata = read_metadata(path)
        assert references(metadata, {}).uses == {}
    else:
        with pytest.raises(UnknownSchemaError, match=f"^{path}: it has no bucket "):
            READERS[name](path)


def test_a_newer_layout_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write_bolt(tmp_path / "meta.db", {b"v1": {b"version": b"\x0a"}})
    with pytest.raises(UnknownSchemaError) as caught:
        read_metadata(path)
    assert str(caught.value) == f"{path}: its records have version 5, and thinsim reads versions 0 to 4"


@pytest.mark.parametrize("version", range(5))
def test_every_version_of_the_layout_is_read(tmp_path: Path, version: int) -> None:
    image: BoltTree = {b"target": {b"digest": b"sha256:1"}, b"labels": {b"a": b"b"}}
    schema: BoltTree = {b"ns": {b"images": {b"i": image}, b"sandboxes": {b"inner": {}}}}
    if version:
        schema[b"version"] = bytes([version << 1])
    path = write_bolt(tmp_path / "meta.db", {b"v1": schema, b"ns": {b"sandboxes": {b"outer": {}}}})
    found = read_metadata(path)
    assert found.version == version
    assert found.namespaces["ns"].images["i"].target == "sha256:1"
    # containerd 1.7 keeps sandboxes beside the schema's bucket.
    assert set(found.namespaces["ns"].sandboxes) == {"inner", "outer"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(READERS)))
def test_random_bytes_in_records_raise_no_other_error(tmp_path: Path, data: st.DataObject, name: str) -> None:
    path = unpacked("1.6", name, tmp_path)
    content = bytearray(path.read_bytes())
    # Most of the file is zeros, in free pages and behind the elements of others.
    used = [at for at, byte in enumerate(content) if byte and at > 2 * 4096]
    index = st.integers(0, len(used) - 1)
    for at, byte in data.draw(st.lists(st.tuples(index, st.integers(0, 255)), min_size=1, max_size=30)):
        content[used[at]] = byte
    path.write_bytes(content)
    try:
        READERS[name](path)
    except (DamagedDatabaseError, UnknownSchemaError) as error:
        refusal = str(error)
    else:
        refusal = f"{path}: none"
    assert refusal.startswith(f"{path}: ")


def test_a_lease_and_a_container_without_snapshot_hold_nothing(tmp_path: Path) -> None:
    schema: BoltTree = {b"ns": {b"containers": {b"c": {}}, b"leases": {b"l": {}}}, b"version": b"\6"}
    metadata = read_metadata(write_bolt(tmp_path / "meta.db", {b"v1": schema}))
    found = references(metadata, {}, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert (found.uses, found.dangling) == ({}, ())

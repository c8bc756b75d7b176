"""The databases that containerd 1.6, 1.7 and 2.1 wrote are read as ctr printed them."""

from pathlib import Path

import pytest

from tests.node.containerd.comparing_with_ctr import (
    comparable,
    needs_of_the_scene,
    parents_in_tree,
    seen_by_ctr,
)
from tests.node.containerd.recorded_databases import SERIES, answers, unpacked
from thinsim.node.containerd.databases import ContainerdRecords
from thinsim.node.containerd.namespace_records import read_metadata
from thinsim.node.containerd.pool_records import ThinIdUse, read_pool
from thinsim.node.containerd.references import references
from thinsim.node.containerd.snapshot_records import read_snapshots
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.interface import Kind


@pytest.fixture(params=SERIES)
def series(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def records(series: str, tmp_path: Path) -> ContainerdRecords:
    return ContainerdRecords(
        read_metadata(unpacked(series, "meta.db", tmp_path)),
        dict(read_snapshots(unpacked(series, "metadata.db", tmp_path))),
        read_pool(unpacked(series, "pool.db", tmp_path)),
        (),
    )


def test_every_record_is_what_ctr_printed(series: str, records: ContainerdRecords) -> None:
    assert seen_by_ctr(records) == comparable(answers(series))


def test_the_tree_of_ctr_has_the_parents_in_the_records(series: str, records: ContainerdRecords) -> None:
    for name, namespace in records.metadata.namespaces.items():
        snapshots = namespace.snapshots["devmapper"]
        parents = parents_in_tree(answers(series)[name]["tree"])
        assert parents == {key: each.parent for key, each in snapshots.items()}
        for key, each in snapshots.items():
            assert set(each.children) == {child for child, parent in parents.items() if parent == key}


def test_the_layout_has_the_version_of_the_release(series: str, records: ContainerdRecords) -> None:
    assert records.metadata.version == (4 if series == "2.1" else 3)


def test_each_snapshot_has_a_device_with_a_taken_thin_id(records: ContainerdRecords) -> None:
    devices = records.pool.devices
    ids = {each.id: each for each in records.snapshots.values()}
    assert {name.rpartition("-")[2] for name in devices} == {str(number) for number in ids}
    for name, device in devices.items():
        snapshot = ids[int(name.rpartition("-")[2])]
        committed = snapshot.kind is Kind.COMMITTED
        assert device.state is (DeviceState.DEACTIVATED if committed else DeviceState.ACTIVATED)
        assert (device.size, device.error) == (32 << 20, "")
        assert records.pool.thin_ids[device.thin_id] is ThinIdUse.TAKEN
        parent = records.snapshots.get(snapshot.parent)
        assert device.parent.rpartition("-")[2] == ("" if parent is None else str(parent.id))
    assert records.pool.last_thin_id == len(devices) == len(records.pool.thin_ids)


def test_each_snapshot_has_the_holders_of_the_scene(records: ContainerdRecords) -> None:
    found = references(records.metadata, records.snapshots)
    assert found.dangling == ()
    assert needs_of_the_scene(found) == {}

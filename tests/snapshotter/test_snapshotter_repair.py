"""Repair and the other verbs are tested in the states that a crash leaves."""

import pytest
import trio

from tests.snapshotter.snapshotter_rigs import host_bytes
from tests.snapshotter.tapped_device_mapper import EBUSY
from tests.snapshotter.tapped_snapshotters import BLOCK, TappedSnapshotters, committed
from thinsim.errors import DeviceMapperError
from thinsim.snapshotter.errors import FailedPreconditionError

pytestmark = pytest.mark.rigs("process")


async def test_a_snapshot_with_discarded_content_is_no_parent_and_repair_removes_it(
    tapped: TappedSnapshotters,
) -> None:
    snapshotter = await tapped.open(discard_blocks=True, discard_committed=True)
    await committed(snapshotter, "c")
    tapped.dm.refuse("remove", EBUSY, times=3)
    with pytest.raises(FailedPreconditionError):
        await snapshotter.remove("c")
    assert snapshotter.device_of("c").discarded
    with pytest.raises(
        FailedPreconditionError, match="interrupted after the discard of its content: remove it"
    ):
        await snapshotter.prepare("a", "c")
    report = await snapshotter.repair()
    assert [finding.subject for finding in report.repaired] == ["snapshot c"]
    assert [info.name async for info in snapshotter.walk()] == []
    assert await tapped.rig.mappings() == {}


async def test_a_removal_that_was_busy_before_its_discard_keeps_the_content(
    tapped: TappedSnapshotters,
) -> None:
    snapshotter = await tapped.open(discard_blocks=True)
    await snapshotter.prepare("a")
    tapped.dm.hold_open("pool-snap-1")
    tapped.dm.refuse("remove", EBUSY, times=3)
    with pytest.raises(FailedPreconditionError):
        await snapshotter.remove("a")
    assert not snapshotter.device_of("a").discarded


async def test_a_thin_id_deleted_already_is_no_error_before_its_discard(
    tapped: TappedSnapshotters,
) -> None:
    snapshotter = await tapped.open(discard_blocks=True, discard_committed=True)
    await committed(snapshotter, "c")
    await tapped.dm.message("pool", 0, "delete 1")
    await snapshotter.remove("c")
    assert [info.name async for info in snapshotter.walk()] == []


async def test_only_the_metadata_snapshot_of_a_killed_snapshotter_is_released(
    tapped: TappedSnapshotters,
) -> None:
    first = await tapped.open()
    await tapped.dm.message("pool", 0, "reserve_metadata_snap")
    with pytest.raises(FailedPreconditionError, match="has a metadata snapshot already"):
        await first.repair()
    # This is the record of a snapshotter that reserved it and was killed.
    await first.close()
    with tapped.device_store() as metadata:
        metadata.holds_metadata_snapshot = True
    second = await tapped.open()
    assert (await second.repair()).left == []
    with pytest.raises(DeviceMapperError):
        await tapped.dm.message("pool", 0, "release_metadata_snap")


async def test_repair_waits_for_a_device_that_is_still_open_and_then_discards_it(
    tapped: TappedSnapshotters,
) -> None:
    snapshotter = await tapped.open(discard_blocks=True)
    await snapshotter.prepare("a")
    await tapped.write("pool-snap-1", 4 * BLOCK)
    # The store is lost, and a command that was started before still has the device open.
    with tapped.store() as store, store.write() as writer:
        writer.remove("a")
    async with tapped.rig.holding_open("pool-snap-1"):
        report = await snapshotter.repair()
        assert "is in use" in report.left[0].remedy
        await trio.lowlevel.checkpoint()
    assert (await snapshotter.repair()).left == []
    assert await host_bytes(tapped.rig) == 0

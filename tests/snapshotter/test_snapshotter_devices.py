"""The devices of the verbs are tested: the operations, their order, and the state after a failure."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.snapshotter.tapped_device_mapper import EBUSY, EEXIST, EINVAL, EIO, ENODATA
from tests.snapshotter.tapped_snapshotters import BASE_SIZE, BLOCK, TappedSnapshotters, committed
from thinsim.errors import DeviceMapperError, EnvironmentLacksError
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.errors import FailedPreconditionError, NotFoundError
from thinsim.snapshotter.events import DeviceEventKind
from thinsim.snapshotter.host import CommandFailedError
from thinsim.snapshotter.interface import Mount, Usage
from thinsim.snapshotter.mounting import FS_TYPE_LABEL
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

pytestmark = pytest.mark.rigs("process")

TABLE = f"0 {BASE_SIZE // 512} thin /dev/mapper/pool"


def states(tapped: TappedSnapshotters) -> dict[str, DeviceState]:
    with tapped.device_store() as metadata:
        return {device.name: device.state for device in metadata.devices()}


async def test_the_operations_of_a_history(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(discard_blocks=True)
    await snapshotter.prepare("a")
    await snapshotter.commit("c", "a")
    await snapshotter.view("v", "c")
    await snapshotter.remove("v")
    await snapshotter.remove("c")
    assert tapped.dm.verbs == [
        "message pool 0 create_thin 1",
        f"create pool-snap-1 {TABLE} 1",
        "suspend pool-snap-1",
        "resume pool-snap-1",
        "remove --retry --deferred pool-snap-1",
        "message pool 0 create_snap 2 1",
        f"create pool-snap-2 {TABLE} 2",
        "remove --retry --force pool-snap-2",
        "message pool 0 delete 2",
        "message pool 0 delete 1",
    ]
    assert tapped.host.mkfs == [("pool-snap-1", "ext4", "nodiscard,lazy_itable_init=0,lazy_journal_init=0")]


async def test_a_loaded_origin_is_suspended(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await committed(snapshotter, "c")
    # This is the state while the commit's deferred removal waits for the last close.
    await tapped.dm.create("pool-snap-1", f"{TABLE} 1")
    tapped.dm.verbs.clear()
    await snapshotter.prepare("a", "c")
    assert tapped.dm.verbs == [
        "suspend pool-snap-1",
        "message pool 0 create_snap 2 1",
        f"create pool-snap-2 {TABLE} 2",
        "resume pool-snap-1",
    ]


async def test_an_origin_is_resumed_even_after_a_failure(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await committed(snapshotter, "c")
    await tapped.dm.create("pool-snap-1", f"{TABLE} 1")
    tapped.dm.refuse("message pool 0 create_snap", EIO)
    with pytest.raises(DeviceMapperError):
        await snapshotter.prepare("a", "c")
    assert tapped.dm.verbs[-1] == "resume pool-snap-1"
    assert states(tapped) == {"pool-snap-1": DeviceState.RESUMED, "pool-snap-2": DeviceState.FAULTY}


async def test_intent_is_recorded_before_each_act(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    seen: list[tuple[str, str]] = []

    async def see(verb: str) -> None:
        seen.append((verb.split(maxsplit=1)[0], states(tapped)["pool-snap-1"]))

    tapped.dm.before = see
    await snapshotter.prepare("a")
    assert states(tapped)["pool-snap-1"] is DeviceState.ACTIVATED
    await snapshotter.commit("c", "a")
    assert states(tapped)["pool-snap-1"] is DeviceState.DEACTIVATED
    await snapshotter.remove("c")
    assert seen == [
        ("message", DeviceState.CREATING),
        ("create", DeviceState.ACTIVATING),
        ("suspend", DeviceState.SUSPENDING),
        ("resume", DeviceState.RESUMING),
        ("remove", DeviceState.DEACTIVATING),
        ("message", DeviceState.REMOVING),
    ]


async def test_lost_and_found_is_removed_from_every_new_snapshot(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await committed(snapshotter, "c")
    await snapshotter.view("v", "c")
    assert tapped.host.cleared == [
        Mount("ext4", "/dev/mapper/pool-snap-1", ()),
        Mount("ext4", "/dev/mapper/pool-snap-2", ("ro",)),
    ]


async def test_xfs_children_inherit_the_type_and_ignore_the_uuid(tapped: TappedSnapshotters) -> None:
    first = await tapped.open(fs_type="xfs")
    await committed(first, "c")
    await first.close()
    snapshotter = await tapped.open(fs_type="ext4")
    (view,) = await snapshotter.view("v", "c")
    assert (view.type, view.options) == ("xfs", ("nouuid", "ro"))
    assert (await snapshotter.stat("v")).labels[FS_TYPE_LABEL] == "xfs"


async def test_a_parent_without_label_is_ext4(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(fs_type="xfs")
    await committed(snapshotter, "c")
    await snapshotter.update(replace(await snapshotter.stat("c"), labels={}))
    (mount,) = await snapshotter.prepare("a", "c")
    assert mount.type == "ext4"


async def test_a_lost_label_is_named(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await snapshotter.prepare("a")
    await snapshotter.update(replace(await snapshotter.stat("a"), labels={}))
    with pytest.raises(FailedPreconditionError, match=FS_TYPE_LABEL):
        await snapshotter.mounts("a")


async def test_usage(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await snapshotter.prepare("key")
    assert await snapshotter.usage("key") == Usage(BLOCK)
    await tapped.write("pool-snap-1", 4 * BLOCK)
    await snapshotter.commit("c", "key")
    assert await snapshotter.usage("c") == Usage(4 * BLOCK)
    await snapshotter.prepare("a", "c")
    assert await snapshotter.usage("a") == Usage(0)
    await tapped.write("pool-snap-2", 10 * BLOCK)
    assert await snapshotter.usage("a") == Usage(6 * BLOCK)
    await snapshotter.view("v", "c")
    assert await snapshotter.usage("v") == Usage(-4 * BLOCK)


async def test_device_of(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await committed(snapshotter, "c")
    device = snapshotter.device_of("c")
    assert (device.name, device.thin_id, device.size) == ("pool-snap-1", 1, BASE_SIZE)
    with pytest.raises(NotFoundError):
        snapshotter.device_of("c-key")


async def test_a_failed_mkfs_leaves_nothing(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    tapped.host.mkfs_error = CommandFailedError(("mkfs.ext4",), 1, "bad option")
    with pytest.raises(CommandFailedError, match="bad option"):
        await snapshotter.prepare("a")
    with pytest.raises(NotFoundError):
        await snapshotter.stat("a")
    assert states(tapped) == {}
    assert await tapped.dm.list() == ["pool"]
    assert tapped.kinds()[-1] is DeviceEventKind.DELETED
    tapped.host.mkfs_error = None
    await snapshotter.prepare("a")
    assert snapshotter.device_of("a").thin_id == 1


async def test_the_thin_id_of_a_failed_creation_is_faulty(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await tapped.dm.message("pool", 0, "create_thin 1")
    with pytest.raises(DeviceMapperError) as caught:
        await snapshotter.prepare("a")
    assert caught.value.errno == EEXIST
    assert states(tapped) == {"pool-snap-1": DeviceState.FAULTY}
    await snapshotter.prepare("a")
    assert (snapshotter.device_of("a").name, snapshotter.device_of("a").thin_id) == ("pool-snap-1", 2)


async def test_a_failed_activation_is_undone(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    tapped.dm.refuse("create pool-snap-1", EIO)
    with pytest.raises(DeviceMapperError):
        await snapshotter.prepare("a")
    assert tapped.dm.verbs[-1] == "message pool 0 delete 1"
    assert states(tapped) == {}
    assert tapped.kinds()[-2:] == [DeviceEventKind.DISCARD_SKIPPED, DeviceEventKind.DELETED]


async def test_an_activation_that_cannot_be_undone_is_faulty(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    tapped.dm.refuse("create pool-snap-1", EIO)
    tapped.dm.refuse("message pool 0 delete", EINVAL)
    with pytest.raises(DeviceMapperError) as caught:
        await snapshotter.prepare("a")
    assert caught.value.errno == EIO
    assert "could not be deleted" in caught.value.__notes__[0]
    assert states(tapped) == {"pool-snap-1": DeviceState.FAULTY}


async def test_a_failed_commit_leaves_the_snapshot_active(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await snapshotter.prepare("a")
    tapped.dm.refuse("suspend", EINVAL, times=3)
    with pytest.raises(DeviceMapperError):
        await snapshotter.commit("c", "a")
    assert [info.name async for info in snapshotter.walk()] == ["a"]
    assert snapshotter.device_of("a").state is DeviceState.SUSPENDING
    await snapshotter.commit("c", "a")


async def test_a_busy_device_is_retried_a_limited_number_of_times(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await snapshotter.prepare("a")
    tapped.dm.refuse("remove", EBUSY, times=3)
    with pytest.raises(FailedPreconditionError, match="cannot remove snapshot 'a'"):
        await snapshotter.remove("a")
    assert (await snapshotter.stat("a")).name == "a"
    tapped.dm.refuse("message pool 0 delete", EBUSY, times=2)
    await snapshotter.remove("a")
    assert states(tapped) == {}


async def test_other_refusals_are_not_retried(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await snapshotter.prepare("a")
    tapped.dm.verbs.clear()
    tapped.dm.refuse("remove", EIO)
    with pytest.raises(FailedPreconditionError):
        await snapshotter.remove("a")
    assert len(tapped.dm.verbs) == 1


async def test_a_thin_id_deleted_already_is_no_error(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await committed(snapshotter, "c")
    tapped.dm.refuse("message pool 0 delete", ENODATA)
    await snapshotter.remove("c")
    assert states(tapped) == {}


async def test_async_removal_leaves_the_device_to_cleanup(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(async_remove=True)
    await snapshotter.prepare("a")
    tapped.dm.verbs.clear()
    await snapshotter.remove("a")
    assert tapped.dm.verbs == []
    assert [info.name async for info in snapshotter.walk()] == []
    assert states(tapped) == {"pool-snap-1": DeviceState.REMOVED}
    await snapshotter.prepare("a")
    await snapshotter.cleanup()
    assert states(tapped) == {"pool-snap-2": DeviceState.ACTIVATED}
    assert tapped.ends()[-1] == (DeviceEventKind.DELETED, "a", "")


async def test_cleanup_after_reopening_knows_the_owner(tapped: TappedSnapshotters) -> None:
    first = await tapped.open(async_remove=True)
    await committed(first, "c")
    await first.remove("c")
    await first.close()
    second = await tapped.open(async_remove=True)
    await second.cleanup()
    assert tapped.ends()[-1] == (DeviceEventKind.DELETED, "c", "")
    with tapped.store() as store:
        assert store.read.owner(1) is None


async def test_cleanup_without_async_remove_does_nothing(tapped: TappedSnapshotters) -> None:
    first = await tapped.open(async_remove=True)
    await first.prepare("a")
    await first.remove("a")
    await first.close()
    second = await tapped.open()
    await second.cleanup()
    assert states(tapped) == {"pool-snap-1": DeviceState.REMOVED}


async def test_one_failure_does_not_stop_cleanup(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(async_remove=True)
    for key in "abc":
        await snapshotter.prepare(key)
        await snapshotter.remove(key)
    tapped.dm.refuse("remove --retry --force pool-snap-2", EIO)
    with pytest.raises(FailedPreconditionError, match="pool-snap-2"):
        await snapshotter.cleanup()
    assert states(tapped) == {"pool-snap-2": DeviceState.DEACTIVATING}


async def test_concurrent_verbs_take_turns(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await committed(snapshotter, "c")
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(snapshotter.prepare, f"a{number}", "c")
    ids = {snapshotter.device_of(f"a{number}").thin_id for number in range(8)}
    assert ids == set(range(2, 10))


async def test_a_cancelled_prepare_is_finished(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    with trio.CancelScope() as scope:

        async def cancel(verb: str) -> None:
            scope.cancel()

        tapped.dm.before = cancel
        await snapshotter.prepare("a")
    assert states(tapped) == {"pool-snap-1": DeviceState.ACTIVATED}
    assert (await snapshotter.stat("a")).name == "a"


async def test_a_missing_pool_is_named(tapped: TappedSnapshotters, tmp_path: Path) -> None:
    config = tapped.config(pool_name="nowhere", root_path=tmp_path / "other")
    with pytest.raises(EnvironmentLacksError, match=r"'nowhere' does not exist.*dmsetup create nowhere"):
        await DevmapperSnapshotter.open(config, tapped.dm, tapped.host)
    assert not (tmp_path / "other").exists()


async def test_everything_exists_after_reopening(tapped: TappedSnapshotters) -> None:
    first = await tapped.open()
    await committed(first, "c")
    before = await first.stat("c")
    await first.close()
    with pytest.raises(FailedPreconditionError, match="closed"):
        await first.stat("c")
    second = await tapped.open()
    assert await second.stat("c") == before
    assert sorted(path.name for path in tapped.root.glob("*.db")) == ["metadata.db", "pool.db"]

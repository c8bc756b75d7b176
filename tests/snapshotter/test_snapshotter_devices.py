"""The devices behind the verbs: which operations are sent, in which order, and what a failure leaves."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.snapshotter.tapped_device_mapper import EBUSY, EEXIST, EINVAL, EIO, ENODATA
from tests.snapshotter.tapped_snapshotters import BASE_SIZE, BLOCK, Bench, committed
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


def states(bench: Bench) -> dict[str, DeviceState]:
    return {device.name: device.state for device in bench.opened[-1]._metadata.devices()}


async def test_the_operations_of_a_history(bench: Bench) -> None:
    snapshotter = await bench.open(discard_blocks=True)
    await snapshotter.prepare("a")
    await snapshotter.commit("c", "a")
    await snapshotter.view("v", "c")
    await snapshotter.remove("v")
    await snapshotter.remove("c")
    assert bench.dm.verbs == [
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
    assert bench.host.mkfs == [("pool-snap-1", "ext4", "nodiscard,lazy_itable_init=0,lazy_journal_init=0")]


async def test_a_loaded_origin_is_held_still(bench: Bench) -> None:
    snapshotter = await bench.open()
    await committed(snapshotter, "c")
    # As if the commit's deferred removal were still waiting for the last close.
    await bench.dm.create("pool-snap-1", f"{TABLE} 1")
    bench.dm.verbs.clear()
    await snapshotter.prepare("a", "c")
    assert bench.dm.verbs == [
        "suspend pool-snap-1",
        "message pool 0 create_snap 2 1",
        f"create pool-snap-2 {TABLE} 2",
        "resume pool-snap-1",
    ]


async def test_an_origin_is_resumed_even_after_a_failure(bench: Bench) -> None:
    snapshotter = await bench.open()
    await committed(snapshotter, "c")
    await bench.dm.create("pool-snap-1", f"{TABLE} 1")
    bench.dm.refuse("message pool 0 create_snap", EIO)
    with pytest.raises(DeviceMapperError):
        await snapshotter.prepare("a", "c")
    assert bench.dm.verbs[-1] == "resume pool-snap-1"
    assert states(bench) == {"pool-snap-1": DeviceState.RESUMED, "pool-snap-2": DeviceState.FAULTY}


async def test_intent_is_recorded_before_each_act(bench: Bench) -> None:
    snapshotter = await bench.open()
    seen: list[tuple[str, str]] = []
    bench.dm.before = lambda verb: seen.append((verb.split()[0], states(bench)["pool-snap-1"]))
    await snapshotter.prepare("a")
    assert states(bench)["pool-snap-1"] is DeviceState.ACTIVATED
    await snapshotter.commit("c", "a")
    assert states(bench)["pool-snap-1"] is DeviceState.DEACTIVATED
    await snapshotter.remove("c")
    assert seen == [
        ("message", DeviceState.CREATING),
        ("create", DeviceState.ACTIVATING),
        ("suspend", DeviceState.SUSPENDING),
        ("resume", DeviceState.RESUMING),
        ("remove", DeviceState.DEACTIVATING),
        ("message", DeviceState.REMOVING),
    ]


async def test_lost_and_found_goes_from_every_new_snapshot(bench: Bench) -> None:
    snapshotter = await bench.open()
    await committed(snapshotter, "c")
    await snapshotter.view("v", "c")
    assert bench.host.cleared == [
        Mount("ext4", "/dev/mapper/pool-snap-1", ()),
        Mount("ext4", "/dev/mapper/pool-snap-2", ("ro",)),
    ]


async def test_xfs_children_inherit_the_type_and_ignore_the_uuid(bench: Bench) -> None:
    first = await bench.open(fs_type="xfs")
    await committed(first, "c")
    await first.close()
    snapshotter = await bench.open(fs_type="ext4")
    (view,) = await snapshotter.view("v", "c")
    assert (view.type, view.options) == ("xfs", ("nouuid", "ro"))
    assert (await snapshotter.stat("v")).labels[FS_TYPE_LABEL] == "xfs"


async def test_a_parent_without_label_is_ext4(bench: Bench) -> None:
    snapshotter = await bench.open(fs_type="xfs")
    await committed(snapshotter, "c")
    await snapshotter.update(replace(await snapshotter.stat("c"), labels={}))
    (mount,) = await snapshotter.prepare("a", "c")
    assert mount.type == "ext4"


async def test_a_lost_label_is_named(bench: Bench) -> None:
    snapshotter = await bench.open()
    await snapshotter.prepare("a")
    await snapshotter.update(replace(await snapshotter.stat("a"), labels={}))
    with pytest.raises(FailedPreconditionError, match=FS_TYPE_LABEL):
        await snapshotter.mounts("a")


async def test_usage(bench: Bench) -> None:
    snapshotter = await bench.open()
    await snapshotter.prepare("key")
    assert await snapshotter.usage("key") == Usage(BLOCK)
    await bench.write("pool-snap-1", 4 * BLOCK)
    await snapshotter.commit("c", "key")
    assert await snapshotter.usage("c") == Usage(4 * BLOCK)
    await snapshotter.prepare("a", "c")
    assert await snapshotter.usage("a") == Usage(0)
    await bench.write("pool-snap-2", 10 * BLOCK)
    assert await snapshotter.usage("a") == Usage(6 * BLOCK)
    await snapshotter.view("v", "c")
    assert await snapshotter.usage("v") == Usage(-4 * BLOCK)


async def test_device_of(bench: Bench) -> None:
    snapshotter = await bench.open()
    await committed(snapshotter, "c")
    device = snapshotter.device_of("c")
    assert (device.name, device.thin_id, device.size) == ("pool-snap-1", 1, BASE_SIZE)
    with pytest.raises(NotFoundError):
        snapshotter.device_of("c-key")


async def test_a_failed_mkfs_leaves_nothing(bench: Bench) -> None:
    snapshotter = await bench.open()
    bench.host.mkfs_error = CommandFailedError(("mkfs.ext4",), 1, "bad option")
    with pytest.raises(CommandFailedError, match="bad option"):
        await snapshotter.prepare("a")
    with pytest.raises(NotFoundError):
        await snapshotter.stat("a")
    assert states(bench) == {}
    assert await bench.dm.list() == ["pool"]
    assert bench.kinds()[-1] is DeviceEventKind.DELETED
    bench.host.mkfs_error = None
    await snapshotter.prepare("a")
    assert snapshotter.device_of("a").thin_id == 1


async def test_a_failed_creation_gives_its_id_up(bench: Bench) -> None:
    snapshotter = await bench.open()
    await bench.dm.message("pool", 0, "create_thin 1")
    with pytest.raises(DeviceMapperError) as caught:
        await snapshotter.prepare("a")
    assert caught.value.errno == EEXIST
    assert states(bench) == {"pool-snap-1": DeviceState.FAULTY}
    await snapshotter.prepare("a")
    assert (snapshotter.device_of("a").name, snapshotter.device_of("a").thin_id) == ("pool-snap-1", 2)


async def test_a_failed_activation_is_undone(bench: Bench) -> None:
    snapshotter = await bench.open()
    bench.dm.refuse("create pool-snap-1", EIO)
    with pytest.raises(DeviceMapperError):
        await snapshotter.prepare("a")
    assert bench.dm.verbs[-1] == "message pool 0 delete 1"
    assert states(bench) == {}
    assert bench.kinds()[-2:] == [DeviceEventKind.DISCARD_SKIPPED, DeviceEventKind.DELETED]


async def test_an_activation_that_cannot_be_undone_is_faulty(bench: Bench) -> None:
    snapshotter = await bench.open()
    bench.dm.refuse("create pool-snap-1", EIO)
    bench.dm.refuse("message pool 0 delete", EINVAL)
    with pytest.raises(DeviceMapperError) as caught:
        await snapshotter.prepare("a")
    assert caught.value.errno == EIO
    assert "could not be deleted" in caught.value.__notes__[0]
    assert states(bench) == {"pool-snap-1": DeviceState.FAULTY}


async def test_a_failed_commit_leaves_the_snapshot_active(bench: Bench) -> None:
    snapshotter = await bench.open()
    await snapshotter.prepare("a")
    bench.dm.refuse("suspend", EINVAL, times=3)
    with pytest.raises(DeviceMapperError):
        await snapshotter.commit("c", "a")
    assert [info.name async for info in snapshotter.walk()] == ["a"]
    assert snapshotter.device_of("a").state is DeviceState.SUSPENDING
    await snapshotter.commit("c", "a")


async def test_busy_is_retried_and_then_given_up(bench: Bench) -> None:
    snapshotter = await bench.open()
    await snapshotter.prepare("a")
    bench.dm.refuse("remove", EBUSY, times=3)
    with pytest.raises(FailedPreconditionError, match="cannot remove snapshot 'a'"):
        await snapshotter.remove("a")
    assert (await snapshotter.stat("a")).name == "a"
    bench.dm.refuse("message pool 0 delete", EBUSY, times=2)
    await snapshotter.remove("a")
    assert states(bench) == {}


async def test_other_refusals_are_not_retried(bench: Bench) -> None:
    snapshotter = await bench.open()
    await snapshotter.prepare("a")
    bench.dm.verbs.clear()
    bench.dm.refuse("remove", EIO)
    with pytest.raises(FailedPreconditionError):
        await snapshotter.remove("a")
    assert len(bench.dm.verbs) == 1


async def test_a_thin_id_deleted_already_is_no_error(bench: Bench) -> None:
    snapshotter = await bench.open()
    await committed(snapshotter, "c")
    bench.dm.refuse("message pool 0 delete", ENODATA)
    await snapshotter.remove("c")
    assert states(bench) == {}


async def test_async_removal_leaves_the_device_to_cleanup(bench: Bench) -> None:
    snapshotter = await bench.open(async_remove=True)
    await snapshotter.prepare("a")
    bench.dm.verbs.clear()
    await snapshotter.remove("a")
    assert bench.dm.verbs == []
    assert [info.name async for info in snapshotter.walk()] == []
    assert states(bench) == {"pool-snap-1": DeviceState.REMOVED}
    await snapshotter.prepare("a")
    await snapshotter.cleanup()
    assert states(bench) == {"pool-snap-2": DeviceState.ACTIVATED}
    assert bench.ends()[-1] == (DeviceEventKind.DELETED, "a", "")


async def test_cleanup_after_reopening_knows_whose_it_was(bench: Bench) -> None:
    first = await bench.open(async_remove=True)
    await committed(first, "c")
    await first.remove("c")
    await first.close()
    second = await bench.open(async_remove=True)
    await second.cleanup()
    assert bench.ends()[-1] == (DeviceEventKind.DELETED, "c", "")
    assert second._store.read.owner(1) is None


async def test_cleanup_without_async_remove_does_nothing(bench: Bench) -> None:
    first = await bench.open(async_remove=True)
    await first.prepare("a")
    await first.remove("a")
    await first.close()
    second = await bench.open()
    await second.cleanup()
    assert states(bench) == {"pool-snap-1": DeviceState.REMOVED}


async def test_one_failure_does_not_stop_cleanup(bench: Bench) -> None:
    snapshotter = await bench.open(async_remove=True)
    for key in "abc":
        await snapshotter.prepare(key)
        await snapshotter.remove(key)
    bench.dm.refuse("remove --retry --force pool-snap-2", EIO)
    with pytest.raises(FailedPreconditionError, match="pool-snap-2"):
        await snapshotter.cleanup()
    assert states(bench) == {"pool-snap-2": DeviceState.DEACTIVATING}


async def test_concurrent_verbs_take_turns(bench: Bench) -> None:
    snapshotter = await bench.open()
    await committed(snapshotter, "c")
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(snapshotter.prepare, f"a{number}", "c")
    ids = {snapshotter.device_of(f"a{number}").thin_id for number in range(8)}
    assert ids == set(range(2, 10))


async def test_a_cancelled_prepare_is_finished(bench: Bench) -> None:
    snapshotter = await bench.open()
    with trio.CancelScope() as scope:
        bench.dm.before = lambda verb: scope.cancel()
        await snapshotter.prepare("a")
    assert states(bench) == {"pool-snap-1": DeviceState.ACTIVATED}
    assert (await snapshotter.stat("a")).name == "a"


async def test_a_missing_pool_is_named(bench: Bench, tmp_path: Path) -> None:
    config = bench.config(pool_name="nowhere", root_path=tmp_path / "other")
    with pytest.raises(EnvironmentLacksError, match=r"'nowhere' does not exist.*dmsetup create nowhere"):
        await DevmapperSnapshotter.open(config, bench.dm, bench.host)
    assert not (tmp_path / "other").exists()


async def test_everything_is_there_after_reopening(bench: Bench) -> None:
    first = await bench.open()
    await committed(first, "c")
    before = await first.stat("c")
    await first.close()
    with pytest.raises(FailedPreconditionError, match="closed"):
        await first.stat("c")
    second = await bench.open()
    assert await second.stat("c") == before
    assert sorted(path.name for path in bench.root.glob("*.db")) == ["metadata.db", "pool.db"]

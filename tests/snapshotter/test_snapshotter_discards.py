"""These tests cover the discards for each flag and kind of snapshot, and the reasons for skipped ones."""

import pytest

from tests.snapshotter.snapshotter_rigs import host_bytes
from tests.snapshotter.tapped_device_mapper import EBUSY
from tests.snapshotter.tapped_snapshotters import BLOCK, TappedSnapshotters, committed
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.snapshotter.events import DeviceEvent, DeviceEventKind, DiscardSkipped
from thinsim.snapshotter.host import CommandFailedError

pytestmark = pytest.mark.rigs("process")

DISCARDED = (DeviceEventKind.DISCARDED, "")
OFF = (DeviceEventKind.DISCARD_SKIPPED, DiscardSkipped.OFF)
NOT_ACTIVE = (DeviceEventKind.DISCARD_SKIPPED, DiscardSkipped.NOT_ACTIVE)


@pytest.mark.parametrize("async_remove", [False, True])
@pytest.mark.parametrize(
    ("discard_blocks", "discard_committed", "active", "layer"),
    [
        (False, False, OFF, OFF),
        (True, False, DISCARDED, NOT_ACTIVE),
        (False, True, OFF, DISCARDED),
        (True, True, DISCARDED, DISCARDED),
    ],
)
async def test_every_removal(
    tapped: TappedSnapshotters,
    *,
    async_remove: bool,
    discard_blocks: bool,
    discard_committed: bool,
    active: tuple[str, str],
    layer: tuple[str, str],
) -> None:
    snapshotter = await tapped.open(
        async_remove=async_remove, discard_blocks=discard_blocks, discard_committed=discard_committed
    )
    await committed(snapshotter, "layer")
    await snapshotter.prepare("active", "layer")
    await snapshotter.view("view", "layer")
    for key in ("active", "view", "layer"):
        await snapshotter.remove(key)
    await snapshotter.cleanup()
    ends = {"active": active, "view": active, "layer": layer}
    # Cleanup runs in the order of devices, plain removals in the order of calls. Each device has two events.
    order = ("layer", "active", "view") if async_remove else ("active", "view", "layer")
    assert tapped.ends() == [
        step
        for key in order
        for step in ((ends[key][0], key, ends[key][1]), (DeviceEventKind.DELETED, key, ""))
    ]
    assert await tapped.dm.list() == ["pool"]


async def test_the_life_of_a_layer(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(discard_blocks=True, discard_committed=True)
    await committed(snapshotter, "c")
    await snapshotter.prepare("a", "c")
    await snapshotter.remove("a")
    await snapshotter.remove("c")
    kind = DeviceEventKind
    assert tapped.events == [
        DeviceEvent(kind.CREATED, "c-key", "pool-snap-1", 1),
        DeviceEvent(kind.DEACTIVATED, "c", "pool-snap-1", 1, "deferred"),
        DeviceEvent(kind.SNAPSHOTTED, "a", "pool-snap-2", 2, "pool-snap-1"),
        DeviceEvent(kind.DISCARDED, "a", "pool-snap-2", 2),
        DeviceEvent(kind.DEACTIVATED, "a", "pool-snap-2", 2),
        DeviceEvent(kind.DELETED, "a", "pool-snap-2", 2),
        DeviceEvent(kind.DISCARDED, "c", "pool-snap-1", 1),
        DeviceEvent(kind.DEACTIVATED, "c", "pool-snap-1", 1),
        DeviceEvent(kind.DELETED, "c", "pool-snap-1", 1),
    ]


async def test_commit_never_discards(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(discard_blocks=True, discard_committed=True)
    await committed(snapshotter, "c")
    assert tapped.host.discards == []


async def test_a_busy_device_is_deleted_without_discard(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(discard_blocks=True)
    await snapshotter.prepare("a")
    tapped.dm.hold_open("pool-snap-1")
    await snapshotter.remove("a")
    assert tapped.ends() == [
        (DeviceEventKind.DISCARD_SKIPPED, "a", DiscardSkipped.BUSY),
        (DeviceEventKind.DELETED, "a", ""),
    ]
    assert tapped.host.discards == []


async def test_a_discard_counts_though_the_removal_had_to_be_retried(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(discard_blocks=True)
    await snapshotter.prepare("a")
    tapped.dm.refuse("remove", EBUSY, times=2)
    await snapshotter.remove("a")
    # containerd discards before each try.
    assert tapped.host.discards == ["pool-snap-1"] * 3
    assert tapped.ends() == [(DeviceEventKind.DISCARDED, "a", ""), (DeviceEventKind.DELETED, "a", "")]


async def test_a_failed_discard_keeps_the_snapshot(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(discard_blocks=True)
    await snapshotter.prepare("a")
    tapped.host.discard_error = CommandFailedError(("blkdiscard", "x"), 1, "Input/output error")
    with pytest.raises(FailedPreconditionError, match="Input/output error"):
        await snapshotter.remove("a")
    assert tapped.ends() == [(DeviceEventKind.DISCARD_SKIPPED, "a", DiscardSkipped.FAILED)]
    device = snapshotter.device_of("a")
    assert device.state is DeviceState.DEACTIVATING
    assert "Input/output error" in device.error

    tapped.host.discard_error = None
    await snapshotter.remove("a")
    assert tapped.ends()[1:] == [(DeviceEventKind.DISCARDED, "a", ""), (DeviceEventKind.DELETED, "a", "")]


async def test_a_device_that_another_program_has_removed(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(discard_blocks=True, async_remove=True)
    await snapshotter.prepare("a")
    await snapshotter.remove("a")
    await tapped.dm.remove("pool-snap-1")
    await snapshotter.cleanup()
    assert tapped.ends()[0] == (DeviceEventKind.DISCARD_SKIPPED, "a", DiscardSkipped.NOT_ACTIVE_UNCOMMITTED)


@pytest.mark.parametrize(("discard_committed", "left"), [(False, 16), (True, 0)])
async def test_bytes_freed_on_the_host(
    tapped: TappedSnapshotters, *, discard_committed: bool, left: int
) -> None:
    """Test leak A of containerd: a committed layer is deleted without a discard and stays on the host."""
    snapshotter = await tapped.open(discard_blocks=True, discard_committed=discard_committed)
    await snapshotter.prepare("layer-key")
    await tapped.write("pool-snap-1", 16 * BLOCK)
    await snapshotter.commit("layer", "layer-key")
    await snapshotter.prepare("container", "layer")
    await tapped.write("pool-snap-2", 4 * BLOCK)
    assert await host_bytes(tapped.rig) == 20 * BLOCK
    await snapshotter.remove("container")
    assert await host_bytes(tapped.rig) == 16 * BLOCK
    await snapshotter.remove("layer")
    assert await host_bytes(tapped.rig) == left * BLOCK

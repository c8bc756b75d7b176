"""The start of a snapshotter is tested with the records that a crash or a reboot leaves."""

import pytest

from tests.snapshotter.tapped_device_mapper import EIO, do_nothing
from tests.snapshotter.tapped_snapshotters import TappedSnapshotters, committed
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.device_store import DeviceStore
from thinsim.snapshotter.errors import FailedPreconditionError, NotFoundError
from thinsim.snapshotter.interface import Kind
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

pytestmark = pytest.mark.rigs("process")

KEPT = {
    DeviceState.SUSPENDED,
    DeviceState.RESUMED,
    DeviceState.DEACTIVATED,
    DeviceState.REMOVED,
    DeviceState.ACTIVATED,
    DeviceState.FAULTY,
}


class CrashError(Exception):
    """The process has crashed."""


def crash(tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, at: str) -> None:
    """Simulate a crash before the verb that begins with *at*: nothing is recorded after it."""

    async def end(verb: str) -> None:
        if verb.startswith(at):
            tapped.dm.before = do_nothing
            await snapshotter.close()
            raise CrashError

    tapped.dm.before = end


@pytest.mark.parametrize("state", list(DeviceState))
async def test_every_state_is_settled(tapped: TappedSnapshotters, state: DeviceState) -> None:
    first = await tapped.open()
    await first.prepare("a")
    await first.close()
    with tapped.device_store() as metadata:
        metadata.set_state("pool-snap-1", state)
    second = await tapped.open()
    assert second.device_of("a").state is (state if state in KEPT else DeviceState.FAULTY)


async def test_after_a_reboot_active_devices_are_active_again(tapped: TappedSnapshotters) -> None:
    first = await tapped.open()
    await committed(first, "c")
    await first.prepare("a", "c")
    await first.close()
    await tapped.dm.remove("pool-snap-2")
    second = await tapped.open()
    assert await tapped.dm.list() == ["pool", "pool-snap-2"]
    await second.commit("d", "a")


async def test_a_device_that_cannot_be_activated_is_named_and_the_files_are_closed(
    tapped: TappedSnapshotters,
) -> None:
    first = await tapped.open()
    await first.prepare("a")
    await first.close()
    await tapped.dm.remove("pool-snap-1")
    tapped.dm.refuse("create pool-snap-1", EIO)
    with pytest.raises(FailedPreconditionError, match="pool-snap-1"):
        await tapped.open()
    metadata = DeviceStore(tapped.root / "pool.db")
    assert metadata.get("pool-snap-1").state is DeviceState.ACTIVATING
    metadata.close()


@pytest.mark.parametrize("at", ["message pool 0 create_thin", "create pool-snap-1"])
async def test_an_interrupted_prepare_can_be_called_again(tapped: TappedSnapshotters, at: str) -> None:
    first = await tapped.open()
    crash(tapped, first, at)
    with pytest.raises((CrashError, FailedPreconditionError)):
        await first.prepare("a")
    second = await tapped.open()
    with pytest.raises(NotFoundError):
        await second.stat("a")
    await second.prepare("a")
    # The first thin id may exist in the pool, so it is not used again.
    assert second.device_of("a").thin_id == 2


@pytest.mark.parametrize("at", ["suspend", "resume", "remove"])
async def test_an_interrupted_commit_leaves_the_snapshot_active(tapped: TappedSnapshotters, at: str) -> None:
    first = await tapped.open()
    await first.prepare("a")
    crash(tapped, first, at)
    with pytest.raises((CrashError, FailedPreconditionError)):
        await first.commit("c", "a")
    second = await tapped.open()
    assert (await second.stat("a")).kind is Kind.ACTIVE
    assert second.device_of("a").state is DeviceState.FAULTY
    await second.commit("c", "a")
    await second.prepare("b", "c")


@pytest.mark.parametrize("at", ["remove", "message pool 0 delete"])
async def test_an_interrupted_removal_can_be_called_again(tapped: TappedSnapshotters, at: str) -> None:
    first = await tapped.open(discard_blocks=True)
    await first.prepare("a")
    crash(tapped, first, at)
    with pytest.raises((CrashError, FailedPreconditionError)):
        await first.remove("a")
    second = await tapped.open(discard_blocks=True)
    await second.remove("a")
    assert await tapped.dm.list() == ["pool"]
    with tapped.device_store() as metadata:
        assert list(metadata.devices()) == []

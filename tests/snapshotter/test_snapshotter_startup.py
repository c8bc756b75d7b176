"""After a crash or a reboot: what a snapshotter makes of the records it finds."""

import pytest

from tests.snapshotter.tapped_device_mapper import EIO
from tests.snapshotter.tapped_snapshotters import Bench, committed
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.errors import FailedPreconditionError, NotFoundError
from thinsim.snapshotter.interface import Kind
from thinsim.snapshotter.pool_metadata import PoolMetadata
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
    """The process ends here."""


async def crash(bench: Bench, snapshotter: DevmapperSnapshotter, at: str) -> None:
    """Let the process end before the verb that begins with *at*: nothing is recorded after that."""

    def end(verb: str) -> None:
        if verb.startswith(at):
            bench.dm.before = lambda verb: None
            snapshotter._store.close()
            snapshotter._metadata.close()
            snapshotter._root.release()
            raise CrashError

    bench.dm.before = end


@pytest.mark.parametrize("state", list(DeviceState))
async def test_every_state_is_settled(bench: Bench, state: DeviceState) -> None:
    first = await bench.open()
    await first.prepare("a")
    first._metadata.set_state("pool-snap-1", state)
    await first.close()
    second = await bench.open()
    assert second.device_of("a").state is (state if state in KEPT else DeviceState.FAULTY)


async def test_after_a_reboot_active_devices_are_active_again(bench: Bench) -> None:
    first = await bench.open()
    await committed(first, "c")
    await first.prepare("a", "c")
    await first.close()
    await bench.dm.remove("pool-snap-2")
    second = await bench.open()
    assert await bench.dm.list() == ["pool", "pool-snap-2"]
    await second.commit("d", "a")


async def test_a_device_that_stays_away_is_named_and_the_files_are_closed(bench: Bench) -> None:
    first = await bench.open()
    await first.prepare("a")
    await first.close()
    await bench.dm.remove("pool-snap-1")
    bench.dm.refuse("create pool-snap-1", EIO)
    with pytest.raises(FailedPreconditionError, match="pool-snap-1"):
        await bench.open()
    metadata = PoolMetadata(bench.root / "pool.db")
    assert metadata.get("pool-snap-1").state is DeviceState.ACTIVATING
    metadata.close()


@pytest.mark.parametrize("at", ["message pool 0 create_thin", "create pool-snap-1"])
async def test_a_prepare_cut_short_can_be_called_again(bench: Bench, at: str) -> None:
    first = await bench.open()
    await crash(bench, first, at)
    with pytest.raises((CrashError, FailedPreconditionError)):
        await first.prepare("a")
    second = await bench.open()
    with pytest.raises(NotFoundError):
        await second.stat("a")
    await second.prepare("a")
    # The first id may or may not have been created: it is not used again.
    assert second.device_of("a").thin_id == 2


@pytest.mark.parametrize("at", ["suspend", "resume", "remove"])
async def test_a_commit_cut_short_leaves_the_snapshot_active(bench: Bench, at: str) -> None:
    first = await bench.open()
    await first.prepare("a")
    await crash(bench, first, at)
    with pytest.raises((CrashError, FailedPreconditionError)):
        await first.commit("c", "a")
    second = await bench.open()
    assert (await second.stat("a")).kind is Kind.ACTIVE
    assert second.device_of("a").state is DeviceState.FAULTY
    await second.commit("c", "a")
    await second.prepare("b", "c")


@pytest.mark.parametrize("at", ["remove", "message pool 0 delete"])
async def test_a_removal_cut_short_can_be_called_again(bench: Bench, at: str) -> None:
    first = await bench.open(discard_blocks=True)
    await first.prepare("a")
    await crash(bench, first, at)
    with pytest.raises((CrashError, FailedPreconditionError)):
        await first.remove("a")
    second = await bench.open(discard_blocks=True)
    await second.remove("a")
    assert await bench.dm.list() == ["pool"]
    assert list(second._metadata.devices()) == []

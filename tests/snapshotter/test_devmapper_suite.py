"""containerd's devmapper tests of dmsetup and of a pool's devices run on every rig.

Sources: ``plugins/snapshots/devmapper/dmsetup/dmsetup_test.go``, ``pool_device_test.go``.
"""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.snapshotter.tapped_snapshotters import BASE_SIZE, BLOCK, TappedSnapshotters, committed
from thinsim.errors import DeviceMapperError
from thinsim.rig.interface import Rig
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.errors import AlreadyExistsError


def thin(rig: Rig, thin_id: int) -> str:
    return f"0 {BASE_SIZE // 512} thin {rig.dm.path(rig.shape.name)} {thin_id}"


@asynccontextmanager
async def refused(number: int) -> AsyncIterator[None]:
    with pytest.raises(DeviceMapperError) as caught:
        yield
    assert caught.value.errno == number


async def test_create_device_a_second_time(rig: Rig) -> None:
    await rig.dm.message(rig.shape.name, 0, "create_thin 1")
    async with refused(errno.EEXIST):
        await rig.dm.message(rig.shape.name, 0, "create_thin 1")


async def test_create_snapshot_a_second_time(rig: Rig) -> None:
    await rig.dm.message(rig.shape.name, 0, "create_thin 1")
    await rig.dm.message(rig.shape.name, 0, "create_snap 2 1")
    async with refused(errno.EEXIST):
        await rig.dm.message(rig.shape.name, 0, "create_snap 2 1")


async def test_delete_snapshot_a_second_time(rig: Rig) -> None:
    await rig.dm.message(rig.shape.name, 0, "create_thin 1")
    await rig.dm.message(rig.shape.name, 0, "create_snap 2 1")
    await rig.dm.message(rig.shape.name, 0, "delete 2")
    async with refused(errno.ENODATA):
        await rig.dm.message(rig.shape.name, 0, "delete 2")


async def test_activate_device_a_second_time(rig: Rig) -> None:
    name = f"{rig.shape.name}-a"
    await rig.dm.message(rig.shape.name, 0, "create_thin 1")
    await rig.dm.create(name, thin(rig, 1))
    try:
        async with refused(errno.EBUSY):
            await rig.dm.create(name, thin(rig, 1))
    finally:
        await rig.dm.remove(name, retry=True)


async def test_device_status_suspend_resume_and_removal(rig: Rig) -> None:
    name = f"{rig.shape.name}-a"
    await rig.dm.message(rig.shape.name, 0, "create_thin 1")
    await rig.dm.create(name, thin(rig, 1))
    try:
        assert await rig.dm.status(name) == f"0 {BASE_SIZE // 512} thin 0 -"
        for _ in range(2):
            await rig.dm.suspend(name)
        for _ in range(2):
            await rig.dm.resume(name)
        await rig.host.discard(rig.dm.path(name))
        async with refused(errno.EBUSY):
            await rig.dm.remove(rig.shape.name)
    finally:
        await rig.dm.remove(name, retry=True)
    async with refused(errno.ENXIO):
        await rig.dm.info(name)


async def test_create_thin_device_duplicate_and_usage(tapped: TappedSnapshotters) -> None:
    await tapped.open(discard_blocks=True)
    with tapped.pool_device(discard_blocks=True) as pool:
        await pool.create_thin_device("pool-device-test", BASE_SIZE)
        assert await pool.usage("pool-device-test") == 0
        with pytest.raises(AlreadyExistsError):
            await pool.create_thin_device("pool-device-test", BASE_SIZE)
        await pool.remove_device("pool-device-test")


async def test_make_filesystem_has_usage(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open(discard_blocks=True)
    await snapshotter.prepare("a")
    assert (await snapshotter.usage("a")).size > 0
    await snapshotter.remove("a")


async def test_snapshots_are_apart_and_a_deactivated_device_can_be_removed(
    tapped: TappedSnapshotters,
) -> None:
    snapshotter = await tapped.open(discard_blocks=True)
    await committed(snapshotter, "v1")
    await snapshotter.prepare("v2", "v1")
    await snapshotter.prepare("v3", "v1")
    two, three = (snapshotter.device_of(key).name for key in ("v2", "v3"))
    before = await tapped.rig.read(three, 32 * BLOCK, BLOCK)
    await tapped.write(two, BLOCK, 32 * BLOCK)
    assert await tapped.rig.read(three, 32 * BLOCK, BLOCK) == before
    assert await tapped.rig.read(two, 32 * BLOCK, BLOCK) == b"\xa5" * BLOCK
    with tapped.pool_device(discard_blocks=True) as pool:
        await pool.deactivate(two, deferred=False, force=False)
    assert snapshotter.device_of("v2").state is DeviceState.DEACTIVATED
    for key in ("v2", "v3", "v1"):
        await snapshotter.remove(key)
    assert await tapped.rig.mappings() == {}

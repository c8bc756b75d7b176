"""These tests cover discards in steps: the length of each step, and the whole device."""

import errno
from pathlib import Path

import pytest

from tests.snapshotter.snapshotter_rigs import MOUNTS, host_bytes
from tests.snapshotter.tapped_snapshotters import BLOCK, TappedSnapshotters
from thinsim.errors import DeviceMapperError
from thinsim.snapshotter.stepped_discard import FIRST, discard_in_steps, step_after

MIB = 1 << 20


@pytest.mark.parametrize(
    ("step", "seconds", "then"),
    [
        (1 * MIB, 0.001, 2 * MIB),
        (8 * MIB, 0.001, 16 * MIB),
        (16 * MIB, 0.001, 16 * MIB),
        (8 * MIB, 0.015, 8 * MIB),
        (8 * MIB, 0.5, 4 * MIB),
        (1 * MIB, 0.5, 1 * MIB),
    ],
)
def test_a_step_that_takes_long_makes_the_next_one_shorter(step: int, seconds: float, then: int) -> None:
    assert step_after(step, seconds, 16 * MIB) == then


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_no_step_is_longer_than_the_longest(seconds: float) -> None:
    assert step_after(FIRST // 4, seconds, FIRST // 4) == FIRST // 4


@pytest.mark.rigs(*sorted(MOUNTS))
@pytest.mark.parametrize("longest", [BLOCK, 3 * MIB, 256 * MIB])
async def test_all_of_a_device_is_discarded(tapped: TappedSnapshotters, longest: int) -> None:
    snapshotter = await tapped.open()
    await snapshotter.prepare("a")
    device = snapshotter.device_of("a").name
    await tapped.write(device, 4 * MIB)
    await tapped.write(device, 2 * BLOCK, (64 << 20) - 2 * BLOCK)
    assert await host_bytes(tapped.rig) > 4 * MIB
    await discard_in_steps(tapped.rig.dm.path(device), longest)
    assert await host_bytes(tapped.rig) == 0


@pytest.mark.rigs(*sorted(MOUNTS))
async def test_a_device_in_use_is_left_alone(tapped: TappedSnapshotters) -> None:
    snapshotter = await tapped.open()
    await snapshotter.prepare("a")
    device = snapshotter.device_of("a").name
    used = await host_bytes(tapped.rig)
    async with tapped.rig.holding_open(device):
        with pytest.raises(DeviceMapperError) as caught:
            await discard_in_steps(tapped.rig.dm.path(device), MIB)
    assert caught.value.errno == errno.EBUSY
    assert await host_bytes(tapped.rig) == used


async def test_a_missing_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceMapperError, match="missing"):
        await discard_in_steps(tmp_path / "missing", MIB)

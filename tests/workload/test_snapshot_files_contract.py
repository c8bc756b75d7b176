"""Every implementation of SnapshotFiles passes these tests: on real mounts and on a simulated file system."""

import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.silent_progress import SilentProgress
from thinsim.errors import KernelError
from thinsim.machine.working_directory import working_directory
from thinsim.rig.registry import find_rig
from thinsim.scenario.file.document import ScenarioPool
from thinsim.scenario.file.session import ScenarioSession, session
from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.snapshotter.retry import RetryRule, RetryRules

MiB = 1 << 20
TWICE = RetryRules(busy=RetryRule(2, 0.01, frozenset({errno.EBUSY})))
KEYS = {"base_image_size": "64MiB", "discard_blocks": True, "remove_unforced": True}


@pytest.fixture(params=["process", pytest.param("emulated", marks=pytest.mark.rig)])
async def on_rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ScenarioSession]:
    async with working_directory(tmp_path, print) as (directory, journal):
        shape = ScenarioPool(data_size="256MiB", metadata_size="8MiB").shape(f"thinsim-{journal.path.stem}")
        async with (
            find_rig(request.param).running(directory, shape, journal) as rig,
            session(rig, KEYS, TWICE, SilentProgress(), directory / "core") as opened,
        ):
            await opened.start()
            yield opened
            assert await rig.check() == []


def last_step(opened: ScenarioSession, *fields: str) -> list[int]:
    return [getattr(opened.samples[-1], field) for field in fields]


async def test_files_live_in_one_snapshot_and_are_inherited_by_the_next(on_rig: ScenarioSession) -> None:
    await on_rig.import_layers("base", 1, 2 * MiB)
    await on_rig.prepare("a", "base-1")
    await on_rig.prepare("b", "base-1")
    await on_rig.write("a", "own", MiB)
    await on_rig.overwrite("a", "own", MiB)
    await on_rig.overwrite("b", "base-1", MiB)
    await on_rig.delete("a", "base-1")
    await on_rig.overwrite("b", "base-1", MiB)
    for name in ("own", "never"):
        with pytest.raises(FileNotFoundError):
            await on_rig.overwrite("b", name, MiB)
    with pytest.raises(FileNotFoundError):
        await on_rig.delete("a", "base-1")
    with pytest.raises(FileExistsError):
        await on_rig.write("a", "own", MiB)


async def test_new_files_take_new_blocks_and_overwriting_them_takes_none(on_rig: ScenarioSession) -> None:
    await on_rig.prepare("a")
    await on_rig.write("a", "data", 4 * MiB)
    (before,) = last_step(on_rig, "pool_used_blocks")
    assert on_rig.samples[-1].host_grown >= 4 * MiB
    await on_rig.overwrite("a", "data", 4 * MiB)
    (after,) = last_step(on_rig, "pool_used_blocks")
    assert after - before <= 8, "no more than the file system's own blocks"


async def test_space_of_deleted_files_is_freed_by_a_trim_and_not_before(on_rig: ScenarioSession) -> None:
    await on_rig.prepare("a")
    await on_rig.write("a", "data", 8 * MiB)
    await on_rig.delete("a", "data")
    assert last_step(on_rig, "pool_freed", "host_freed") == [0, 0]
    await on_rig.trim("a")
    pool_freed, host_freed, leaked = last_step(on_rig, "pool_freed", "host_freed", "leaked")
    assert pool_freed >= 7 * MiB
    assert host_freed >= 7 * MiB
    assert leaked == 0


async def test_a_container_leaves_the_requested_bytes(on_rig: ScenarioSession) -> None:
    await on_rig.import_layers("base", 1, 2 * MiB)
    await on_rig.prepare("a", "base-1")
    await on_rig.run_container("a", 4 * MiB)
    assert on_rig.samples[-1].host_grown >= 4 * MiB


async def test_more_than_fits_is_refused_with_enospc(on_rig: ScenarioSession) -> None:
    await on_rig.prepare("a")
    with pytest.raises((OSError, KernelError)) as caught:
        await on_rig.write("a", "data", 80 * MiB)
    assert caught.value.errno == errno.ENOSPC  # type: ignore[attr-defined]


async def test_a_view_is_read_and_never_written(on_rig: ScenarioSession) -> None:
    await on_rig.import_layers("base", 1, MiB)
    await on_rig.view("look", "base-1")
    for act in (
        on_rig.write("look", "own", MiB),
        on_rig.overwrite("look", "base-1", MiB),
        on_rig.delete("look", "base-1"),
    ):
        with pytest.raises(OSError, match="Read-only file system") as caught:
            await act
        assert caught.value.errno == errno.EROFS


async def test_a_claimed_device_is_busy_until_it_is_released(on_rig: ScenarioSession) -> None:
    await on_rig.prepare("a")
    await on_rig.hold("a")
    device = on_rig.snapshotter.device_of("a").name
    assert (await on_rig.rig.dm.info(device)).open_count == 1
    with pytest.raises(FailedPreconditionError):
        await on_rig.remove("a")
    on_rig.release("a")
    assert (await on_rig.rig.dm.info(device)).open_count == 0
    await on_rig.remove("a")
    assert await on_rig.snapshots() == []

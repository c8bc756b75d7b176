"""The lifecycle with a small image frees and leaks the expected bytes on each rig."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.silent_progress import SilentProgress
from thinsim.rig.registry import find_rig
from thinsim.scenario.container_lifecycle import SETTINGS, LifecyclePhase, LifecycleResult, Setting
from thinsim.scenario.reproduce import Reproduction, ReproductionRequest, run_reproduction
from thinsim.snapshotter.events import DiscardSkipped
from thinsim.workload.block_history import BlockHistory
from thinsim.workload.image import build_image

CONTAINER_BYTES = 4 << 20


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = tmp_path_factory.mktemp("sources")
    sources.chmod(0o755)  # an image takes only files that anybody may read
    fill = random.Random(2)
    for number in range(80):
        file = sources / f"dir{number % 7}" / f"file{number}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(fill.randbytes(fill.randrange(1, 150_000)))
    return build_image(tmp_path_factory.mktemp("image") / "image.tar", size=3 << 20, sources=[sources]).path


async def run(
    rig: str, directory: Path, settings: Sequence[Setting], image: Path, **more: Path | None
) -> Reproduction:
    request = ReproductionRequest(
        rig=find_rig(rig),
        settings=settings,
        image=image if rig == "emulated" else None,
        container_bytes=CONTAINER_BYTES,
        directory=directory,
        **more,  # type: ignore[arg-type]
    )
    return await run_reproduction(request, SilentProgress())


def phase_end(run: LifecycleResult, phase: str) -> int:
    """Return the host bytes allocated at the end of *phase*."""
    return [sample for sample in run.samples if sample.phase == phase][-1].host_allocated


def assert_known_truth(result: Reproduction) -> None:
    off, on, committed = result.runs
    for measured in result.runs:
        for sample in measured.samples:
            assert sample.host_freed == sample.ledger_freed
        assert measured.samples[-1].pool_used_blocks == 0
        assert sum(leak.bytes for leak in measured.leaks) == measured.samples[-1].host_allocated

    assert sum(sample.host_freed for sample in off.samples) == 0
    assert sum(leak.bytes for leak in off.leaks) == phase_end(off, LifecyclePhase.RUN)
    assert {leak.owner.reason for leak in off.leaks} == {DiscardSkipped.OFF}
    assert {leak.owner.snapshot for leak in off.leaks} == {
        "container",
        "layer-1",
        "layer-2",
        "layer-3",
        "layer-4",
    }

    assert phase_end(on, LifecyclePhase.REMOVE_CONTAINER) == phase_end(on, LifecyclePhase.IMPORT)
    assert sum(leak.bytes for leak in on.leaks) == phase_end(on, LifecyclePhase.IMPORT)
    assert {leak.owner.reason for leak in on.leaks} == {DiscardSkipped.NOT_ACTIVE}
    assert {leak.owner.snapshot for leak in on.leaks} == {"layer-1", "layer-2", "layer-3", "layer-4"}

    assert committed.leaks == ()
    assert committed.samples[-1].host_allocated == 0


@pytest.mark.rig
async def test_the_image_leaks_unless_committed_snapshots_are_discarded(tmp_path: Path, image: Path) -> None:
    assert_known_truth(await run("emulated", tmp_path, SETTINGS, image))
    assert list(tmp_path.iterdir()) == []


async def test_the_played_history_frees_and_leaks_the_same_without_mounts(
    tmp_path: Path, image: Path
) -> None:
    assert_known_truth(await run("process", tmp_path, SETTINGS, image))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rig
async def test_a_recorded_run_and_its_play_agree_step_by_step(tmp_path: Path, image: Path) -> None:
    record = tmp_path / "history.json.gz"
    recorded = await run("emulated", tmp_path, SETTINGS[:1], image, record=record)
    assert BlockHistory.load(record).container_bytes == CONTAINER_BYTES
    played = await run("process", tmp_path, SETTINGS[:1], image, history=record)
    for real, replayed in zip(recorded.runs[0].samples, played.runs[0].samples, strict=True):
        for height in ("step", "pool_used_blocks", "pool_freed", "leaked", "usage"):
            assert getattr(real, height) == getattr(replayed, height), real.step


@pytest.mark.parametrize("rig", ["process", pytest.param("emulated", marks=pytest.mark.rig)])
async def test_async_remove_frees_the_same_space_at_cleanup(rig: str, tmp_path: Path, image: Path) -> None:
    setting = replace(SETTINGS[2], async_remove=True)
    (measured,) = (await run(rig, tmp_path, [setting], image)).runs
    removed = {
        sample.step: sample for sample in measured.samples if sample.phase == LifecyclePhase.REMOVE_CONTAINER
    }
    assert removed["remove container"].pool_freed == 0
    assert removed["cleanup"].host_freed > CONTAINER_BYTES
    assert measured.leaks == ()


@pytest.mark.rig
async def test_kept_files_stay_and_nothing_else(tmp_path: Path, image: Path) -> None:
    request = ReproductionRequest(
        rig=find_rig("emulated"),
        settings=SETTINGS[:1],
        image=image,
        container_bytes=0,
        directory=tmp_path,
        keep=True,
    )
    result = await run_reproduction(request, SilentProgress())
    assert result.kept is not None
    kept = result.kept / "1-off"
    assert (kept / "host" / "data").stat().st_size == result.shape.data_size
    assert (kept / "snapshotter" / "metadata.db").is_file()

"""The measurements of a scenario survive a contradiction, a failure of the clean-up and a cancelled task."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.silent_progress import SilentProgress
from thinsim.errors import ThinsimError, failures_of
from thinsim.rig.process import PROCESS
from thinsim.scenario.file.loading import parse
from thinsim.scenario.file.run import ScenarioRequest, ScenarioResult, run_scenario

_SCENARIO = """
title = "Two variants"
[[variant]]
name = "one"
[[variant]]
name = "two"
[[phase]]
name = "written"
steps = [{ do = "prepare", key = "a" }, { do = "write", key = "a", name = "f", size = "1MiB" }]
[[phase]]
name = "removed"
steps = [{ do = "remove", key = "a" }]
"""


class Meddling(SilentProgress):
    """A `Meddling` progress calls *act* right before a step of the second run."""

    def __init__(self, step: str, act: Callable[[], object]) -> None:
        self._at = (2, step)
        self._run = 0
        self._act = act

    def setting(self, number: int, of: int, name: str) -> None:
        self._run = number

    def step(self, phase: str, step: str) -> None:
        if (self._run, step) == self._at:
            self._act()


async def meddled(
    directory: Path, step: str, act: Callable[[], object], keep: Callable[[ScenarioResult], object]
) -> None:
    """Run the scenario, and call *act* before *step* of the second variant."""
    request = ScenarioRequest(parse(_SCENARIO, "t"), "t", _SCENARIO, PROCESS, directory, directory=directory)
    await run_scenario(request, Meddling(step, act), keep)


def steps_of(result: ScenarioResult) -> list[tuple[bool, str]]:
    """Return whether each run ended, with its last measured step."""
    return [(run.finished, run.samples[-1].step) for run in result.runs]


async def test_a_contradiction_keeps_the_steps_before_it(tmp_path: Path) -> None:
    def write_behind_the_pool() -> None:
        (data,) = tmp_path.glob("*/variant-2/**/data")
        with data.open("r+b") as file:
            file.seek(1 << 30)
            file.write(bytes(range(256)) * 256)

    kept: list[ScenarioResult] = []
    with pytest.raises(BaseExceptionGroup) as caught:
        await meddled(tmp_path, "remove a", write_behind_the_pool, kept.append)
    (failure,) = failures_of(caught.value)
    assert "no thin device ever mapped it" in str(failure)
    (result,) = kept
    assert steps_of(result) == [(True, "remove a"), (False, "write f in a")]
    assert result.seconds["written"] > result.runs[0].seconds["written"]


@pytest.mark.rig
async def test_a_failure_of_the_clean_up_keeps_every_step(tmp_path: Path) -> None:
    def occupy() -> None:
        (directory,) = tmp_path.glob("*/variant-2")
        (directory / "busy").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", directory / "busy"], check=True)

    kept: list[ScenarioResult] = []
    try:
        with pytest.raises(ThinsimError, match="could not clean up"):
            await meddled(tmp_path, "remove a", occupy, kept.append)
    finally:
        for busy in tmp_path.glob("*/variant-2/busy"):
            subprocess.run(["umount", busy], check=True)
    (result,) = kept
    assert steps_of(result) == [(True, "remove a"), (True, "remove a")]


async def test_a_cancelled_run_keeps_the_steps_before(tmp_path: Path) -> None:
    kept: list[ScenarioResult] = []
    with trio.CancelScope() as scope:
        await meddled(tmp_path, "write f in a", scope.cancel, kept.append)
    (result,) = kept
    assert steps_of(result) == [(True, "remove a"), (False, "prepare a")]


async def test_a_run_that_ends_well_hands_over_nothing_else(tmp_path: Path) -> None:
    kept: list[ScenarioResult] = []
    await meddled(tmp_path, "no such step", lambda: None, kept.append)
    assert kept == []

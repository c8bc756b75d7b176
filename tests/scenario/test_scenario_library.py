"""Every scenario that comes with thinsim, on the rig without mounts; and the real ones on mounts."""

from pathlib import Path

import pytest

from thinsim.scenario.file import library
from thinsim.scenario.file.run import Request, ScenarioResult, run_scenario

REAL = ("busy-device", "crash-in-remove", "fstrim-inside", "lying-device", "pool-full", "xfs")
"""Where mounts, the FUSE store or a file system's own ways make a difference."""


class Silent:
    def say(self, text: str) -> None: ...

    def setting(self, number: int, of: int, name: str) -> None: ...

    def step(self, phase: str, step: str) -> None: ...


async def run(name: str, rig: str, directory: Path) -> ScenarioResult:
    found = library.find(name)
    request = Request(found.scenario, name, found.text, rig, found.base, directory=directory)
    return await run_scenario(request, Silent())


def assert_all_holds(result: ScenarioResult) -> None:
    for each in result.runs:
        assert each.outcomes, "a scenario asserts something in each variant"
        assert [outcome for outcome in each.outcomes if not outcome.held] == []
        assert sum(sample.ledger_freed for sample in each.samples) == sum(
            event.freed for event in each.events
        )
        assert each.leaked == each.samples[-1].leaked


@pytest.mark.parametrize("name", library.names())
async def test_what_a_scenario_says_holds_without_mounts(name: str, tmp_path: Path) -> None:
    assert_all_holds(await run(name, "process", tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rig
@pytest.mark.parametrize("name", REAL)
async def test_what_a_scenario_says_holds_on_real_mounts(name: str, tmp_path: Path) -> None:
    assert_all_holds(await run(name, "emulated", tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", library.names())
def test_a_scenario_says_what_containerd_does_and_what_it_should(name: str) -> None:
    scenario = library.find(name).scenario
    assert scenario.containerd_does.strip()
    assert scenario.it_should.strip()


def test_the_library_has_the_scenarios_that_people_ask_for() -> None:
    assert {
        "container-exit",
        "image-removal",
        "shared-layers",
        "churn",
        "fstrim-inside",
        "async-remove",
        "async-remove-no-cleanup",
        "crash-in-remove",
        "busy-device",
        "lying-device",
        "pool-full",
        "xfs",
    } <= set(library.names())

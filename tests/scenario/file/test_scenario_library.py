"""Every scenario in the library holds on the rig without mounts and on real mounts."""

from pathlib import Path

import pytest

from tests.repository import REPOSITORY
from tests.silent_progress import SilentProgress
from tests.workload.image.test_image_archive import layer_tar, oci, platform, written
from thinsim.rig.registry import find_rig
from thinsim.scenario.file import library
from thinsim.scenario.file.loading import parse
from thinsim.scenario.file.run import ScenarioRequest, ScenarioResult, run_scenario
from thinsim.workload.image import build_image
from thinsim.workload.image.platforms import this_platform


async def run(name: str, rig: str, directory: Path) -> ScenarioResult:
    found = library.find_scenario(name)
    request = ScenarioRequest(
        found.scenario, name, found.text, find_rig(rig), found.base, directory=directory
    )
    return await run_scenario(request, SilentProgress())


SHORT = ("reclaim", "container-exit", "busy-device", "lying-device")
"""These scenarios run on real mounts in every test run; the others run with ``make test-long``."""


def assert_all_holds(result: ScenarioResult) -> None:
    for each in result.runs:
        assert each.outcomes, "a scenario asserts something in each variant"
        assert [outcome for outcome in each.outcomes if not outcome.held] == []
        assert sum(sample.ledger_freed for sample in each.samples) == sum(
            event.freed for event in each.events
        )
        assert each.leaked == each.samples[-1].leaked


@pytest.mark.parametrize("name", library.library_names())
async def test_the_asserts_of_a_scenario_hold_without_mounts(name: str, tmp_path: Path) -> None:
    assert_all_holds(await run(name, "process", tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rig
@pytest.mark.parametrize(
    "name",
    [
        name if name in SHORT else pytest.param(name, marks=pytest.mark.long)
        for name in library.library_names()
    ],
)
async def test_the_asserts_of_a_scenario_hold_on_real_mounts(name: str, tmp_path: Path) -> None:
    assert_all_holds(await run(name, "emulated", tmp_path))
    assert list(tmp_path.iterdir()) == []


async def test_the_scenario_of_the_document_holds(tmp_path: Path) -> None:
    document = (REPOSITORY / "docs" / "tutorial" / "write-a-scenario.md").read_text()
    text = document.split("```toml\n")[-1].split("```")[0]
    request = ScenarioRequest(
        parse(text, "docs"), "docs", text, find_rig("process"), tmp_path, directory=tmp_path
    )
    assert_all_holds(await run_scenario(request, SilentProgress()))


@pytest.mark.rig
async def test_an_image_is_imported_from_its_archive(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir(mode=0o755)
    for number in range(40):
        (sources / f"file{number}").write_bytes(bytes([number]) * 65536)
    build_image(tmp_path / "image.tar", size=1 << 20, sources=[sources])
    text = """
title = "an archive"
[[phase]]
name = "imported"
steps = [
    { do = "import", image = "image.tar" },
    { do = "assert", snapshots = ["layer-1", "layer-2", "layer-3", "layer-4"], leaked = 0 },
]
"""
    request = ScenarioRequest(parse(text, "t"), "t", text, find_rig("emulated"), tmp_path, directory=tmp_path)
    assert_all_holds(await run_scenario(request, SilentProgress()))


@pytest.mark.rig
async def test_an_image_for_another_machine_gets_a_note(tmp_path: Path) -> None:
    written(tmp_path, oci([layer_tar()], descriptor=platform("plan9/vax")))
    text = """
title = "another machine's"
[[phase]]
name = "imported"
steps = [{ do = "import", image = "image.tar" }]
"""
    notes: list[str] = []

    class Listening(SilentProgress):
        def warn(self, text: str) -> None:
            notes.append(text)

    request = ScenarioRequest(parse(text, "t"), "t", text, find_rig("emulated"), tmp_path, directory=tmp_path)
    await run_scenario(request, Listening())
    note = f"the archive has no image for {this_platform()}; the one for plan9/vax is used"
    assert f"image.tar: {note}" in notes


@pytest.mark.parametrize("name", library.library_names())
def test_a_scenario_describes_the_behaviour_of_containerd_and_the_right_one(name: str) -> None:
    scenario = library.find_scenario(name).scenario
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
    } <= set(library.library_names())

"""The snapshotter is killed before every step of its operations; after a repair nothing is lost or leaked.

``thinsim snapshotter crashes`` does the same; ``--rig emulated`` does it with real file systems and mounts.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from thinsim.cli.main import commands
from thinsim.crashes.campaign import Campaign, Crash
from thinsim.crashes.operations import OPERATIONS, CrashOperation
from thinsim.crashes.table import summary
from thinsim.crashes.victims import forking_victims
from thinsim.machine.journal import Journal

# Every test run has these; make test-long has all of the process rig, make campaign-crashes both rigs.
SHORT = ("prepare on a parent", "view", "commit", "remove", "remove, async", "update", "start after crashes")
OTHERWISE = ("prepare", "remove a committed one")
CASES = [
    *(
        pytest.param("containerd", name, marks=[] if name in SHORT else pytest.mark.long)
        for name in OPERATIONS
    ),
    *(
        pytest.param("fixed", name, marks=[] if name in OTHERWISE else pytest.mark.long)
        for name in OPERATIONS
    ),
]


async def crashes(
    rig: str, operation: CrashOperation, profile: str, directory: Path, journal: Journal
) -> list[Crash]:
    async with (
        forking_victims(directory / "victims.log") as victims,
        Campaign(rig, directory, journal, victims) as campaign,
    ):
        found = list(await campaign.run(operation, profile))
    assert (directory / "victims.log").read_text() == ""
    return found


@pytest.mark.parametrize(("profile", "name"), CASES)
async def test_a_kill_before_any_step_loses_and_leaks_nothing(
    tmp_path: Path, journal: Journal, profile: str, name: str
) -> None:
    found = await crashes("process", OPERATIONS[name], profile, tmp_path, journal)
    assert [crash for crash in found if crash.problems] == []
    assert [crash.number for crash in found] == list(range(1, len(found) + 1))
    assert found[-1].step == "end"


@pytest.mark.rig
@pytest.mark.long
async def test_a_kill_during_a_command_loses_and_leaks_nothing(tmp_path: Path, journal: Journal) -> None:
    found = await crashes("emulated", OPERATIONS["prepare"], "fixed", tmp_path, journal)
    assert [crash for crash in found if crash.problems] == []
    commands_killed = [crash.step.split(maxsplit=1)[0] for crash in found if crash.during]
    assert commands_killed == ["mkfs", "mount", "unmount"]


async def test_changed_content_is_reported(tmp_path: Path, journal: Journal) -> None:
    mistaken = replace(OPERATIONS["view"], like="base")
    found = await crashes("process", mistaken, "containerd", tmp_path, journal)
    wrong = [crash for crash in found if crash.problems]
    assert [crash.step for crash in wrong] == ["end"]
    assert "the content of new is not that of base" in wrong[0].problems[0]
    assert "after 1 of them something was lost" in summary(found)


def test_the_command_shows_each_crash_and_ends_well(tmp_path: Path) -> None:
    words = ["snapshotter", "crashes", "--operation", "update", "--profile", "fixed", "--dir", str(tmp_path)]
    done = CliRunner().invoke(commands, [*words, "--json", str(tmp_path / "crashes.json")])
    assert done.exit_code == 0, done.output
    assert "2 crashes in 1 operations: nothing was lost, leaked or left incomplete" in done.output
    written = json.loads((tmp_path / "crashes.json").read_text())
    assert [(crash["step"], crash["after_repair"]) for crash in written] == [
        ("write: labels of running", "agrees"),
        ("end", "agrees"),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["crashes.json"]

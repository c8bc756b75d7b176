"""``thinsim ci`` catches what is planted in the store itself: a block that it keeps, slow punches."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from thinsim.cli.main import status_of
from thinsim.cli.statuses import LEAKED, SLOWER

BLOCK = 65536
SCENARIO = """
title = "a container exits"
[pool]
data_size = "64MiB"
[snapshotter]
discard_blocks = true
base_image_size = "32MiB"
[[phase]]
name = "ran"
steps = [{ do = "prepare", key = "container" }, { do = "write", key = "container", size = "8MiB" }]
[[phase]]
name = "removed"
steps = [
    { do = "fault", plan = [PLAN] },
    { do = "remove", key = "container" },
    { do = "fault" },
    { do = "assert", pool_used = 0 },
]
"""
RIGS = ["process", pytest.param("emulated", marks=pytest.mark.rig)]


@dataclass(frozen=True)
class Project:
    """A scenario with a baseline, on one rig, and what the last comparison wrote."""

    directory: Path
    rig: str
    rounds: int

    def thinsim(self, *words: str | Path) -> int:
        return status_of([*map(str, words), "--rig", self.rig, "--dir", str(self.directory)])

    def plant(self, plan: str) -> None:
        (self.directory / "exit.toml").write_text(SCENARIO.replace("PLAN", plan))

    def save_baseline(self) -> None:
        scenario, baseline = self.directory / "exit.toml", self.directory / "baseline.json"
        assert self.thinsim("baseline", "save", scenario, "-o", baseline, "--rounds", str(self.rounds)) == 0

    def compare(self, *options: str) -> int:
        outputs = [("--junit", "j.xml"), ("--markdown", "s.md"), ("--json", "now.json")]
        words = [word for option, name in outputs for word in (option, self.directory / name)]
        baseline = self.directory / "baseline.json"
        return self.thinsim("ci", "--baseline", baseline, "--rounds", str(self.rounds), *words, *options)

    def punches(self) -> Sequence[tuple[int, int]]:
        """Return offset and length of each hole punch of a run without any fault that freed all of it."""
        report = self.directory / "report.json"
        assert self.thinsim("run", self.directory / "exit.toml", "--json", report) == 0
        (run,) = json.loads(report.read_text())["runs"]
        return [(each["offset"], each["length"]) for each in run["events"] if each["freed"] == each["length"]]

    @property
    def failed_cases(self) -> list[tuple[str, str]]:
        suite = ElementTree.parse(self.directory / "j.xml").getroot()[0]
        return [(str(case.get("name")), str(case[0].get("message"))) for case in suite if len(case)]

    @property
    def summary(self) -> str:
        return (self.directory / "s.md").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str, int], Project]:
    def make(rig: str, rounds: int) -> Project:
        made = Project(tmp_path, rig, rounds)
        made.plant("")
        return made

    return make


@pytest.mark.parametrize("rig", RIGS)
def test_a_store_that_keeps_one_block_is_caught(
    rig: str, project: Callable[[str, int], Project], capsys: pytest.CaptureFixture[str]
) -> None:
    planted = project(rig, 1)
    planted.save_baseline()
    assert planted.compare("--speed-tolerance", "100") == 0
    assert planted.failed_cases == []
    offset, length = min(planted.punches(), key=lambda punch: punch[1])
    action = f'action = "partial", bytes = {length - BLOCK}' if length > BLOCK else 'action = "lie"'
    planted.plant(f'{{ operation = "punch", offset = {offset}, length = 1, {action} }}')
    capsys.readouterr()
    assert planted.compare("--speed-tolerance", "100") == LEAKED
    (variant,) = json.loads((planted.directory / "now.json").read_text())["scenarios"][0]["variants"]
    assert variant["leaked_by"] == {"container": BLOCK}
    ((case, message),) = planted.failed_cases
    assert f"leak: as it is: {message}" in capsys.readouterr().out
    assert case == "as it is: leak"
    assert message == f"64 KiB leaked, 0 B before: {BLOCK} bytes more (container: {BLOCK} more)"
    assert "### thinsim: 1 regression\n" in planted.summary
    assert "| 64 KiB | 0 B |" in planted.summary
    assert "- **leak**: " in planted.summary


@pytest.mark.alone
@pytest.mark.parametrize(
    "rig", ["process", pytest.param("emulated", marks=[pytest.mark.rig, pytest.mark.long])]
)
def test_a_store_that_punches_half_as_fast_is_caught(
    rig: str, project: Callable[[str, int], Project]
) -> None:
    planted = project(rig, 3)
    seconds = 0.8 / len(planted.punches())
    slow = '{{ operation = "punch", action = "delay", times = "always", seconds = {} }}'
    planted.plant(slow.format(seconds))
    planted.save_baseline()
    planted.plant(slow.format(2 * seconds))
    # Delays do not stretch with the machine's pace, by which they are divided: that one has to change by more
    # than the half for them to be missed.
    assert planted.compare("--speed-tolerance", "1.25") == SLOWER
    ((case, message),) = planted.failed_cases
    assert case == "as it is: speed"
    assert "more than 1.25" in message
    assert "### thinsim: 1 regression\n" in planted.summary
    assert "- **speed**: " in planted.summary

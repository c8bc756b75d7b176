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
class PlantedProject:
    """A scenario with a baseline, on one rig, and what the last comparison wrote."""

    directory: Path
    rig: str
    rounds: int

    def thinsim(self, *words: str | Path) -> int:
        return status_of([*map(str, words), "--rig", self.rig, "--dir", str(self.directory)])

    def plant(self, plan: str) -> None:
        (self.directory / "exit.toml").write_text(SCENARIO.replace("PLAN", plan))

    def leak_by_design(self) -> None:
        """Turn discards off, so that removing the container leaks its blocks."""
        text = SCENARIO.replace("PLAN", "").replace("discard_blocks = true", "discard_blocks = false")
        (self.directory / "exit.toml").write_text(text)

    def save_baseline(self) -> None:
        scenario, baseline = self.directory / "exit.toml", self.directory / "baseline.json"
        options = ["--rounds", str(self.rounds), *(["--most-rounds", "1"] if self.rounds == 1 else [])]
        assert self.thinsim("baseline", "save", scenario, "-o", baseline, *options) == 0

    def compare(self, *options: str) -> int:
        outputs = [("--junit", "j.xml"), ("--markdown", "s.md"), ("--json", "now.json")]
        words = [word for option, name in outputs for word in (option, self.directory / name)]
        baseline = self.directory / "baseline.json"
        return self.thinsim("ci", "--baseline", baseline, "--rounds", str(self.rounds), *words, *options)

    def punches(self) -> Sequence[tuple[int, int]]:
        """Return offset and length of each hole punch of a run without any fault that freed all of it."""
        report = self.directory / "report.json"
        assert self.thinsim("run", self.directory / "exit.toml", "--repeatable", "--json", report) == 0
        (run,) = json.loads(report.read_text())["runs"]
        return [(each["offset"], each["length"]) for each in run["events"] if each["freed"] >= BLOCK]

    @property
    def failed_cases(self) -> list[tuple[str, str]]:
        suite = ElementTree.parse(self.directory / "j.xml").getroot()[0]
        return [
            (str(case.get("name")), str(failure.get("message")))
            for case in suite
            for failure in case.iter("failure")
        ]

    @property
    def summary(self) -> str:
        return (self.directory / "s.md").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str, int], PlantedProject]:
    def make(rig: str, rounds: int) -> PlantedProject:
        made = PlantedProject(tmp_path, rig, rounds)
        made.plant("")
        return made

    return make


@pytest.mark.parametrize("rig", RIGS)
def test_a_store_that_keeps_one_block_is_caught(
    rig: str, project: Callable[[str, int], PlantedProject], capsys: pytest.CaptureFixture[str]
) -> None:
    planted = project(rig, 1)
    planted.save_baseline()
    assert planted.compare("--no-speed") == 0
    assert planted.failed_cases == []
    offset, length = min(planted.punches(), key=lambda punch: punch[1])
    action = f'action = "partial", bytes = {length - BLOCK}' if length > BLOCK else 'action = "lie"'
    planted.plant(f'{{ operation = "punch", offset = {offset}, length = 1, {action} }}')
    capsys.readouterr()
    assert planted.compare("--no-speed") == LEAKED
    (variant,) = json.loads((planted.directory / "now.json").read_text())["scenarios"][0]["variants"]
    assert [(each["snapshot"], each["most_blocks"]) for each in variant["leaks"]] == [("container", 1)]
    ((case, message),) = planted.failed_cases
    assert f"leak: as it is: {message}" in capsys.readouterr().out
    assert case == "as it is: leak"
    more = "1 data block (64 KiB) leaked, 0 data blocks before: 1 data block more (container: 1 data block "
    assert message.startswith(more)
    assert "### thinsim: 1 regression\n" in planted.summary
    assert "| 64 KiB | 0 B |" in planted.summary
    assert "- **leak**: " in planted.summary


@pytest.mark.rig
def test_a_variant_that_leaks_by_design_leaks_the_same_blocks_in_every_run(
    project: Callable[[str, int], PlantedProject],
) -> None:
    """On real mounts, ext4 puts the same files on the same blocks, so that one block more is seen."""
    planted = project("emulated", 2)
    planted.leak_by_design()
    planted.save_baseline()
    (variant,) = json.loads((planted.directory / "baseline.json").read_text())["scenarios"][0]["variants"]
    assert variant["least_blocks"] == variant["most_blocks"] > 8 << 20 >> 16
    assert planted.compare("--no-speed") == 0


@pytest.mark.alone
@pytest.mark.parametrize(
    "rig", ["process", pytest.param("emulated", marks=[pytest.mark.rig, pytest.mark.long])]
)
def test_a_store_that_punches_half_as_fast_is_caught(
    rig: str, project: Callable[[str, int], PlantedProject]
) -> None:
    planted = project(rig, 3)
    seconds = 0.4 / len(planted.punches())
    slow = '{{ operation = "punch", action = "delay", times = "always", seconds = {} }}'
    planted.plant(slow.format(seconds))
    planted.save_baseline()
    assert planted.compare() == 0
    planted.plant(slow.format(2 * seconds))
    assert planted.compare() == SLOWER
    ((case, message),) = planted.failed_cases
    assert case == "as it is: speed"
    assert message.startswith("discards cost ")
    assert "; more than 1.25" in message
    assert "### thinsim: 1 regression\n" in planted.summary
    assert "- **speed**: " in planted.summary

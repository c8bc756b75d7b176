"""``thinsim baseline save`` and ``thinsim ci`` on real runs of a scenario that stays, or changes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from thinsim.cli.main import commands
from thinsim.cli.statuses import BROKEN

SCENARIO = """
title = "a container exits"
[pool]
data_size = "64MiB"
[snapshotter]
discard_blocks = true
[[phase]]
name = "ran"
steps = [{ do = "prepare", key = "container" }, { do = "write", key = "container", size = "8MiB" }]
[[phase]]
name = "removed"
steps = [{ do = "remove", key = "container" }, { do = "assert", pool_used = 0 }]
"""

Invoke = Callable[..., int]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "exit.toml"
    file.write_text(SCENARIO)
    return file


@pytest.fixture
def invoke(scenario: Path, tmp_path: Path) -> Invoke:
    common = ["--rig", "process", "--rounds", "2", "--dir", str(tmp_path)]

    def call(*words: str | Path) -> int:
        status = commands.main([*map(str, words), *common], standalone_mode=False)
        return status if isinstance(status, int) else 0

    return call


def test_the_same_code_again_is_no_regression(
    invoke: Invoke, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke("baseline", "save", scenario, "-o", tmp_path / "b.json") == 0
    assert invoke("ci", "--baseline", tmp_path / "b.json", "--speed-tolerance", "100") == 0
    assert "as it is leaks 0" in capsys.readouterr().out


def test_an_assert_that_no_longer_holds_is_caught(
    invoke: Invoke, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke("baseline", "save", scenario, "-o", tmp_path / "b.json")
    scenario.write_text(SCENARIO.replace("pool_used = 0", "pool_used = 1"))
    assert invoke("ci", "--baseline", tmp_path / "b.json", "--speed-tolerance", "100") == BROKEN
    said = capsys.readouterr().out
    assert "does not hold any more: removed: pool_used = 1" in said
    assert "the scenario's file has changed since" in said

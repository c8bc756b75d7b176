"""``thinsim baseline save`` and ``thinsim ci`` on real runs, with regressions planted in the code below."""

import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from thinsim.block.sparse import SparseBlockDevice
from thinsim.cli.main import commands
from thinsim.cli.statuses import BROKEN, LEAKED, SLOWER

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


def plant(monkeypatch: pytest.MonkeyPatch, *, keep: int = 0, seconds: float = 0.0) -> None:
    """Make discards keep their last *keep* bytes, and take *seconds* in all."""
    real = SparseBlockDevice.discard
    previous = getattr(real, "real", real)

    def discard(device: SparseBlockDevice, offset: int, length: int) -> None:
        time.sleep(seconds)
        previous(device, offset, length - keep)

    discard.real = previous  # type: ignore[attr-defined]
    monkeypatch.setattr(SparseBlockDevice, "discard", discard)


def test_the_same_code_again_is_no_regression(
    invoke: Invoke, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke("baseline", "save", scenario, "-o", tmp_path / "b.json") == 0
    assert invoke("ci", "--baseline", tmp_path / "b.json", "--speed-tolerance", "100") == 0
    assert "as it is leaks 0" in capsys.readouterr().out


def test_one_block_that_leaks_is_caught(
    invoke: Invoke,
    scenario: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    invoke("baseline", "save", scenario, "-o", tmp_path / "b.json")
    plant(monkeypatch, keep=65536)
    outputs = [
        "--junit",
        tmp_path / "j.xml",
        "--markdown",
        tmp_path / "s.md",
        "--json",
        tmp_path / "now.json",
    ]
    assert invoke("ci", "--baseline", tmp_path / "b.json", "--speed-tolerance", "100", *outputs) == LEAKED
    said = capsys.readouterr().out
    assert "64 KiB leaked, 0 B before: 65536 bytes more (container: 65536 more)" in said
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]
    failed = [case.get("name") for case in suite if len(case)]
    assert failed == ["as it is: leak"]
    assert "65536 bytes more" in (tmp_path / "s.md").read_text()
    assert '"most_leaked": 65536' in (tmp_path / "now.json").read_text()


def test_discards_that_take_twice_as_long_are_caught(
    invoke: Invoke,
    scenario: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant(monkeypatch, seconds=0.3)
    invoke("baseline", "save", scenario, "-o", tmp_path / "b.json")
    assert invoke("ci", "--baseline", tmp_path / "b.json") == 0
    plant(monkeypatch, seconds=0.6)
    assert invoke("ci", "--baseline", tmp_path / "b.json") == SLOWER
    assert "more than 1.5" in capsys.readouterr().out


def test_an_assert_that_no_longer_holds_is_caught(
    invoke: Invoke, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke("baseline", "save", scenario, "-o", tmp_path / "b.json")
    scenario.write_text(SCENARIO.replace("pool_used = 0", "pool_used = 1"))
    assert invoke("ci", "--baseline", tmp_path / "b.json", "--speed-tolerance", "100") == BROKEN
    said = capsys.readouterr().out
    assert "does not hold any more: removed: pool_used = 1" in said
    assert "the scenario's file has changed since" in said

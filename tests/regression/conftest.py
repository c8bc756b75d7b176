"""Fixtures of the tests that compare runs with a baseline."""

from pathlib import Path

import pytest

from tests.regression.gated_project import SCENARIO, GatedProject
from thinsim.cli.main import status_of
from thinsim.cli.statuses import DONE


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the text of a baseline of both scenarios. It holds for every project, wherever it lies."""
    directory = tmp_path_factory.mktemp("saved")
    for name in ("a.toml", "b.toml"):
        (directory / name).write_text(SCENARIO.replace("TITLE", name))
    words = ["baseline", "save", str(directory / "a.toml"), str(directory / "b.toml"), "--rig", "process"]
    stored = directory / "b.json"
    assert status_of([*words, "-o", str(stored), "--rounds", "1", "--most-rounds", "1", "--quiet"]) == DONE
    return stored.read_text()


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], saved: str
) -> GatedProject:
    monkeypatch.chdir(tmp_path)
    made = GatedProject(tmp_path, capsys)
    made.write("a.toml")
    made.write("b.toml")
    (tmp_path / "b.json").write_text(saved)
    return made

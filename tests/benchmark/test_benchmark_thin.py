"""``python -m benchmarks.thin`` measures a thin device with and without its plane, in a short form."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.thin import main
from benchmarks.thin_contenders import BY_PYTHON, PLAIN, THIN
from benchmarks.thin_rows import RANDOM_READ_ALONE


@pytest.mark.rig
@pytest.mark.long
@pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed (apt-get install fio)")
def test_each_contender_has_figures(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    words = ["--quick", "--idle", "--rounds", "1", "--only", "thin device", "--row", "depth 1"]
    done = CliRunner().invoke(main, [*words, "--dir", str(tmp_path), "--json", str(figures)])
    assert done.exit_code == 0, done.output
    measured = json.loads(figures.read_text())["measured"]
    rounds = {each["contender"]: each["rounds"] for each in measured if each["row"] == RANDOM_READ_ALONE.name}
    assert set(rounds) == {PLAIN, THIN, BY_PYTHON}
    assert all(min(each) > 0 for each in rounds.values())

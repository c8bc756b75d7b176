"""Ctrl-C ends a long command with exit status 130 and a message, and the command cleans up."""

from pathlib import Path

import pytest

from tests.cli.command_lines import interrupted
from tests.regression.stored import baseline, scenario, variant
from thinsim.cli.statuses import INTERRUPTED

LONG = {
    "run": ("run", "churn", "--rig", "process"),
    "bench": ("bench", "--contender", "process/core/on"),
    "ci": ("ci", "churn", "--rig", "process", "--baseline"),
}

SAID = {
    "run": "Cut short in",
    "bench": "",
    "ci": "FAIL churn could not run: interrupted before its first round",
}


@pytest.mark.parametrize("command", LONG)
def test_an_interrupted_command_cleans_up(command: str, tmp_path: Path) -> None:
    words = [*LONG[command]]
    if words[-1] == "--baseline":
        (tmp_path / "baseline").write_text(baseline(scenario(variant())).model_dump_json())
        words.append(str(tmp_path / "baseline"))
    work = tmp_path / "work"
    work.mkdir()
    done = interrupted(*words, "--dir", work, at="round 1 of" if command == "ci" else "[1/")
    assert done.returncode == INTERRUPTED, done.stderr
    # Between two runs, ci has nothing to clean up.
    assert "Interrupted; cleaning up." in done.stderr or command == "ci"
    assert "thinsim: interrupted" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert SAID[command] in done.stdout
    assert list(work.iterdir()) == []

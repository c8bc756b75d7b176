"""Ctrl-C ends a long command with exit status 130 and a message, and the command cleans up."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.regression.stored import baseline, scenario, variant

LONG = {
    "run": ("run", "churn", "--rig", "process"),
    "bench": ("bench", "--contender", "process/core/on"),
    "ci": ("ci", "churn", "--rig", "process", "--baseline"),
}


@pytest.mark.parametrize("command", LONG)
def test_an_interrupted_command_cleans_up(command: str, tmp_path: Path) -> None:
    words = [*LONG[command]]
    if words[-1] == "--baseline":
        (tmp_path / "baseline").write_text(baseline(scenario(variant())).model_dump_json())
        words.append(str(tmp_path / "baseline"))
    work = tmp_path / "work"
    work.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "thinsim", *words, "--dir", str(work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "[1/" in line or "round 1 of" in line:
            break
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=60)
    assert process.returncode == 130, "".join(lines) + rest
    assert "Interrupted; cleaning up." in rest
    assert rest.splitlines()[-1].startswith("thinsim: interrupted")
    assert "Traceback" not in rest
    assert ("Cut short in" in out) if command == "run" else (out == "")
    assert list(work.iterdir()) == []

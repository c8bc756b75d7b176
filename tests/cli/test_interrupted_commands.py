"""Ctrl-C ends a long command with exit status 130 and a message, and the command cleans up."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from thinsim.regression.baseline import Baseline, ScenarioBaseline, VariantBaseline

LONG = {
    "run": ("run", "churn", "--rig", "process"),
    "bench": ("bench", "--contender", "process/core/on"),
    "ci": ("ci", "churn", "--rig", "process", "--baseline"),
}

OTHER = ScenarioBaseline(
    name="other",
    rig="process",
    sha256="",
    rounds=1,
    machine_seconds=1,
    variants=[
        VariantBaseline(
            name="only", least_leaked=0, most_leaked=0, leaked_by={}, broken=[], discards=0, discard_seconds=0
        )
    ],
)


@pytest.mark.parametrize("command", LONG)
def test_an_interrupted_command_cleans_up(command: str, tmp_path: Path) -> None:
    words = [*LONG[command]]
    if words[-1] == "--baseline":
        (tmp_path / "baseline").write_text(Baseline(environment={}, scenarios=[OTHER]).model_dump_json())
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
        if "[1/" in line:
            break
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=60)
    assert process.returncode == 130, "".join(lines) + rest
    assert "Interrupted; cleaning up." in rest
    assert rest.endswith("thinsim: interrupted\n")
    assert "Traceback" not in rest
    assert ("Cut short in" in out) if command == "run" else (out == "")
    assert list(work.iterdir()) == []

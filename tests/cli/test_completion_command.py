"""A real bash sources the completion script and completes words."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash missing (apt-get install bash)")
@pytest.mark.parametrize(
    ("program", "line", "expected"),
    [
        ("thinsim", ["thinsim", "repro"], {"reproduce"}),
        ("thinsim", ["thinsim", "pool", "gr"], {"grow"}),
        ("thinsim", ["thinsim", "reproduce", "--fail"], {"--fail-on-leak"}),
        ("thinsim", ["thinsim", "run", "container-e"], {"container-exit"}),
        ("thinsim", ["thinsim", "scenarios", "new", "x.toml", "--from", "chu"], {"churn"}),
        ("fuse-backing", ["fuse-backing", "faults", ""], {"set", "show", "clear"}),
    ],
)
def test_a_shell_completes(program: str, line: list[str], expected: set[str]) -> None:
    function = f"_{program.replace('-', '_')}_completion"
    words = " ".join(f"'{word}'" for word in line)
    script = (
        f'eval "$(thinsim completion bash)"; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; '
        f'{function} {program}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert set(done.stdout.split()) == expected


def test_a_shell_that_is_not_known_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "thinsim", "completion", "csh"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in done.stderr

"""Command lines of ``thinsim``: as a process, or within the tests' own, where loading takes no time."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    """What a command line came to."""

    returncode: int
    stdout: str
    stderr: str


Thinsim = Callable[..., Done]


def as_process(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``thinsim`` with *words* as its user does."""
    return subprocess.run(
        [sys.executable, "-m", "thinsim", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

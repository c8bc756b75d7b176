"""A test runs ``thinsim`` as a process, or in its own process, which needs no time to load."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    """A `Done` has the exit status and the output of a command line."""

    returncode: int
    stdout: str
    stderr: str


Thinsim = Callable[..., Done]


def as_process(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``thinsim`` with *words* as a process."""
    return subprocess.run(
        [sys.executable, "-m", "thinsim", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

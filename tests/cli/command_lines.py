"""A test runs ``thinsim`` as a process, or in its own process, which needs no time to load."""

import signal
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


def interrupted(
    *words: str | Path, at: str, number: signal.Signals = signal.SIGINT
) -> subprocess.CompletedProcess[str]:
    """Run ``thinsim`` with *words*, and signal it at the first line on standard error that contains *at*.

    The standard error of the answer begins after that line.
    """
    words = (sys.executable, "-m", "thinsim", *words)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        before = []
        for line in process.stderr:
            before.append(line)
            if at in line:
                break
        else:
            raise AssertionError(f"no {at!r} in {''.join(before)}")
        process.send_signal(number)
        out, rest = process.communicate(timeout=120)
    return subprocess.CompletedProcess(words, process.returncode, out, rest)

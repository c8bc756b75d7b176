"""`heeding_signals` lets Ctrl-C end a benchmark between its steps, so that it cleans up."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndedEarlyError(Exception):
    """An `EndedEarlyError` means that a signal came. The functions that check for it raise it."""


@dataclass(slots=True)
class _Heard:
    """A `_Heard` knows whether a signal came, and the program that runs now."""

    any: bool = False
    running: subprocess.Popen[str] | None = None


_heard = _Heard()


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Remember a signal instead of ending at once; the first prints a line, and a later one does nothing."""

    def note(_number: int, _frame: object) -> None:
        if not _heard.any:
            _heard.any = True
            os.write(2, b"\nInterrupted; cleaning up.\n")
        if _heard.running is not None:
            _heard.running.terminate()

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    _heard.any = False
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # nohup and the background jobs of scripts ignore it
                signal.signal(number, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def heard() -> bool:
    """Return whether a signal came."""
    return _heard.any


def check() -> None:
    """Raise EndedEarlyError if a signal came."""
    if _heard.any:
        raise EndedEarlyError


def run(command: Sequence[str], content: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run *command* with *content* as its input; a signal ends it, and raises EndedEarlyError.

    The program has a process group of its own, so a terminal's Ctrl-C reaches only the benchmark.
    """
    check()
    source = subprocess.DEVNULL if content is None else subprocess.PIPE
    with subprocess.Popen(
        command,
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        _heard.running = process
        try:
            out, err = process.communicate(content)
        finally:
            _heard.running = None
    check()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def run_shown(command: Sequence[str], directory: Path) -> int:
    """Run *command* in *directory* with this process's outputs; return its exit status.

    A signal sends it SIGTERM, and raises EndedEarlyError when it has cleaned up.
    """
    check()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, text=True, cwd=directory, process_group=0
    ) as process:
        _heard.running = process
        try:
            status = process.wait()
        finally:
            _heard.running = None
    check()
    return status

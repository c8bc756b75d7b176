"""`run_in_session` runs a program in its own session, and ends every process that the program started.

If only a shell is killed, its commands go on: a thinsim that waits for a guest, and the guest, which has its
own session so that it can be ended as a whole.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import psutil

GRACE = 60.0
"""Seconds between SIGTERM and SIGKILL, in which thinsim unmounts its file systems and ends its guest."""


def run_in_session(
    words: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    said: TextIO,
    seconds: float,
    grace: float = GRACE,
) -> int | None:
    """Run *words* in *directory*; return the exit status, or None after the time limit.

    No process of the session runs afterwards, nor any child of one: they get SIGTERM, SIGKILL after *grace*
    seconds, and are waited for. Only a process that has become a daemon goes on.
    """
    process = subprocess.Popen(
        words,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        # A daemon would keep a pipe open.
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process, grace)


def _end(process: "subprocess.Popen[bytes]", grace: float) -> None:
    members, children = _session_of(process.pid)
    for each in members:
        _send(each, signal.SIGTERM)
    slow = _still_there([*members, *children], process, grace)
    for each in slow:
        _send(each, signal.SIGKILL)
    stuck = _still_there(slow, process, GRACE)
    if stuck:
        raise TimeoutError(f"killed, and still there: {', '.join(map(str, stuck))}")
    process.wait()


def _still_there(
    processes: Sequence[psutil.Process], own: "subprocess.Popen[bytes]", seconds: float
) -> list[psutil.Process]:
    """Wait for *processes* for *seconds* at most; return those that still run then.

    A zombie counts as ended, since not every init process waits for its children.
    """
    until = time.monotonic() + seconds
    while True:
        own.poll()
        processes = [each for each in processes if _runs(each)]
        if not processes or time.monotonic() > until:
            return list(processes)
        time.sleep(0.02)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session_of(leader: int) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Return the processes of the session, and their children in other sessions, which the parents end."""
    members: dict[int, psutil.Process] = {}
    children: dict[int, psutil.Process] = {}
    for each in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(each.pid) == leader:
                members[each.pid] = each
                children |= {child.pid: child for child in each.children(recursive=True)}
    return list(members.values()), [child for pid, child in children.items() if pid not in members]


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):  # raised for a new process of the same pid as well
        process.send_signal(number)

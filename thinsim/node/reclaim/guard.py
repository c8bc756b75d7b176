"""A `ReclaimGuard` is the reclaim's side of its guard, a process that outlives it if it is killed."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import trio

from thinsim.errors import ProgramFailedError
from thinsim.node.reclaim.guard_process import ARMED, READY, RESUMED
from thinsim.node.reclaim.pool_pause import PoolPause

_MODULE = "thinsim.node.reclaim.guard_process"
_START_SECONDS = 30
_ANSWER_SECONDS = 5
_END_SECONDS = 10
_MESSAGE = 64


class PauseWatcher(Protocol):
    """A `PauseWatcher` knows when a pause begins and ends."""

    def announce(self, seconds: float) -> None:
        """Announce a pause of at most *seconds*. ProgramFailedError if nothing may be suspended."""

    def report_end(self) -> None:
        """Announce that the pool runs again."""


class NoGuard:
    """A `NoGuard` watches nothing. The pool of a run needs none: the recovery of a run resumes it."""

    def announce(self, seconds: float) -> None:
        """Do nothing."""

    def report_end(self) -> None:
        """Do nothing."""


@dataclass(slots=True)
class ReclaimGuard:
    """A `ReclaimGuard` is a PauseWatcher with a process that outlives this one."""

    _connection: socket.socket
    process: subprocess.Popen[bytes]

    def announce(self, seconds: float) -> None:
        """Announce a pause of at most *seconds*; return when the guard watches.

        ProgramFailedError if the guard does not answer: then nothing may be suspended.
        """
        try:
            self._connection.send(repr(seconds).encode())
            answer = self._connection.recv(_MESSAGE)
        except TimeoutError as error:
            raise ProgramFailedError(
                f"the guard of the pool did not answer in {_ANSWER_SECONDS} s"
            ) from error
        except OSError:
            answer = b""
        if answer != ARMED:
            raise ProgramFailedError("the guard of the pool has ended")

    def report_end(self) -> None:
        """Announce that the pool runs again."""
        try:
            self._connection.send(RESUMED)
        except OSError as error:
            raise ProgramFailedError("the guard of the pool has ended") from error


@asynccontextmanager
async def guarded(pause: PoolPause) -> AsyncIterator[ReclaimGuard]:
    """Run a guard for the pool of *pause*; it ends with the block, or resumes the pool if we die first."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno()), str(os.getpid()), *pause.words],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                start_new_session=True,  # it outlives the group and the terminal of the reclaim
            )
        ours.settimeout(_START_SECONDS)
        try:
            if await trio.to_thread.run_sync(_first_word, ours) != READY:
                raise ProgramFailedError(f"the guard of the pool ended at its start: python -m {_MODULE}")
            ours.settimeout(_ANSWER_SECONDS)
            yield ReclaimGuard(ours, process)
        finally:
            ours.close()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_ended, process)


def _first_word(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_MESSAGE)
    except TimeoutError:
        return b""


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""A `CommandContender` is a shell command that takes turns with the other contenders."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import trio

from thinsim.benchmark import command_runner
from thinsim.errors import InvalidValueError, ProgramFailedError


@dataclass(frozen=True, slots=True)
class CommandContender:
    """A `CommandContender` takes part in a benchmark with a command of the user."""

    name: str
    command: str


@dataclass(frozen=True, slots=True)
class CommandCost:
    """A `CommandCost` has the costs of a command and of the children that it waited for (getrusage(2))."""

    seconds: float
    """Seconds from the start of the shell to its end."""
    user: float
    """Seconds of processor time in user mode."""
    system: float
    """Seconds of processor time in the kernel."""
    memory: int
    """Peak of the resident bytes of the largest process; never less than the 10 MiB of its runner."""


def parse_command(text: str) -> CommandContender:
    """Read ``NAME=COMMAND``. InvalidValueError if one of them is missing."""
    name, equals, command = text.partition("=")
    if not equals or not name.strip() or not command.strip():
        raise InvalidValueError(
            f"{text!r}: a command is NAME=COMMAND, such as 'tar=tar -cf /dev/null /usr/include'"
        )
    return CommandContender(name.strip(), command.strip())


async def run_shell(command: str, variables: Mapping[str, str] | None = None) -> CommandCost:
    """Run *command* in a shell, with *variables* in its environment, and return its cost.

    ProgramFailedError with the last line of its standard error if the status is not 0. If the run is
    cancelled, thinsim kills the command with all processes of its session.
    """
    with tempfile.TemporaryFile() as complaints, tempfile.TemporaryFile() as measured:
        runner = subprocess.Popen(
            [sys.executable, "-I", "-S", command_runner.__file__, command],
            stdin=subprocess.DEVNULL,
            stdout=measured,
            stderr=complaints,
            env={**os.environ, **(variables or {})},
            start_new_session=True,
        )
        ended = os.pidfd_open(runner.pid)
        try:
            await trio.lowlevel.wait_readable(ended)
        except BaseException:
            # The runner is not waited for yet, so the number of its group is still its own.
            with suppress(ProcessLookupError):
                os.killpg(runner.pid, signal.SIGKILL)
            raise
        finally:
            trio.lowlevel.notify_closing(ended)
            os.close(ended)
            runner.wait()
        measured.seek(0)
        complaints.seek(0)
        if runner.returncode:
            raise ProgramFailedError(_failure(command, runner.returncode, complaints.read()))
        found = json.load(measured)
        status = os.waitstatus_to_exitcode(found.pop("status"))
        if status:
            raise ProgramFailedError(_failure(command, status, complaints.read()))
    return CommandCost(**found)


def _failure(command: str, status: int, complaints: bytes) -> str:
    ended = f"status {status}" if status > 0 else f"signal {signal.Signals(-status).name}"
    lines = complaints.decode(errors="replace").strip().splitlines()
    return f"{command!r} ended with {ended}" + (f": {lines[-1].strip()}" if lines else "")

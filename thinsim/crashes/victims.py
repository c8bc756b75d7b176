"""`Victims` requests the processes that the campaign kills."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from thinsim.crashes.victim import VictimRequest
from thinsim.errors import ProgramFailedError

_PATIENCE = 60.0
_GRACE = 1.0


class Victims:
    """A `Victims` talks to the process that forks victims; :func:`forking_victims` creates it."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._requests = process.stdin
        self._answers = process.stdout

    async def run(self, request: VictimRequest) -> int:
        """Run one victim and return its exit status. Raise ProgramFailedError if it does not end."""
        await self._requests.send_all(request.to_line())
        answer = b""
        with trio.move_on_after(_PATIENCE):
            while not answer.endswith(b"\n"):
                received = await self._answers.receive_some()
                if not received:
                    break
                answer += received
        if not answer.endswith(b"\n"):
            raise ProgramFailedError(
                f"the victim of {request.operation!r} at step {request.die_at} did not end"
            )
        return int(answer)


@asynccontextmanager
async def forking_victims(log: Path) -> AsyncIterator[Victims]:
    """Run the process that forks victims; their error output goes to the file *log*."""
    with log.open("ab") as output:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-P", "-m", "thinsim.crashes.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Victims(process)
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _end(process: trio.Process) -> None:
    assert process.stdin is not None
    await process.stdin.aclose()
    with trio.move_on_after(_GRACE):
        await process.wait()
    if process.poll() is None:
        # A victim that hangs is in the same process group.
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert process.stdout is not None
    await process.stdout.aclose()

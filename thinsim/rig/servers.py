"""Server processes of a run: started on record, ready when they say so, ended by their own identity."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from thinsim.errors import BenchError
from thinsim.rig.journal import Journal, Kind
from thinsim.rig.state import ProcessIdentity

_GRACE_SECONDS = 20

JOURNAL_VARIABLE = "THINSIM_JOURNAL"
"""Set in every server's environment, so that one whose pid was not yet on record can be found."""


@dataclass(slots=True)
class Server:
    """A running server; ``ready`` is the JSON object of its readiness line."""

    role: str
    process: trio.Process
    ready: dict[str, Any]
    log: Path
    _journal: Journal
    _entry: str

    @classmethod
    async def start(
        cls, role: str, module: str, arguments: list[str], log: Path, journal: Journal
    ) -> "Server":
        """Run ``python -m MODULE ARGUMENTS --ready-fd N`` and wait for its readiness line.

        BenchError with the end of the server's log if it ends before it is ready.
        """
        entry = journal.begin(Kind.PROCESS, role=role)
        read_end, write_end = os.pipe()
        try:
            with log.open("ab") as output:
                # Servers are in a session of their own: a Ctrl-C at the terminal is for the bench,
                # which then ends them in order.
                process = await trio.lowlevel.open_process(
                    [sys.executable, "-P", "-m", module, *arguments, "--ready-fd", str(write_end)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[write_end],
                    start_new_session=True,
                    cwd="/",
                    env={**os.environ, JOURNAL_VARIABLE: str(journal.path)},
                )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        identity = ProcessIdentity.of(process.pid)
        journal.amend(entry, pid=process.pid, started=identity.started if identity else 0)
        server = cls(role, process, {}, log, journal, entry)
        try:
            server.ready = await _readiness(read_end, server)
        except BaseException:
            await server.stop()
            raise
        return server

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after a grace time; idempotent, not interrupted by cancellation."""
        with trio.CancelScope(shield=True):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                with trio.move_on_after(_GRACE_SECONDS):
                    await self.process.wait()
            if self.process.poll() is None:
                self.process.kill()
                await self.process.wait()
        self._journal.end(self._entry)

    def log_tail(self, lines: int = 12) -> str:
        """Return the last *lines* of what the server wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


async def _readiness(read_end: int, server: Server) -> dict[str, Any]:
    async with trio.lowlevel.FdStream(read_end) as stream:
        received = b""
        while not received.endswith(b"\n"):
            piece = await stream.receive_some()
            if not piece:
                raise BenchError(f"the {server.role} ended before it was ready:\n{server.log_tail()}")
            received += piece
    ready: dict[str, Any] = json.loads(received)
    return ready

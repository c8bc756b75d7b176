"""A `Server` is a recorded process of a run that reports when it is ready."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from thinsim.errors import ProgramFailedError
from thinsim.machine.journal import Journal, JournalContent, TakenKind, read_journal
from thinsim.machine.state import ProcessIdentity
from thinsim.machine.unmounting import abort_served

GRACE_SECONDS = 20
"""Seconds between SIGTERM and SIGKILL."""

ENDING_SECONDS = 30
"""Seconds that servers may delay the end of a cancelled block before they are killed."""

_KILL_SECONDS = 10
_DEATH_SECONDS = 2
_DYING_SECONDS = 1

JOURNAL_VARIABLE = "THINSIM_JOURNAL"
"""The variable is set in every server's environment, so that a server without a recorded pid can be found."""


@dataclass(slots=True)
class Server:
    """A `Server` is a running server process; ``ready`` is the JSON object of its readiness line."""

    role: str
    process: trio.Process
    ready: dict[str, Any]
    log: Path
    _journal: Journal
    _entry: str
    _stopped: bool = False

    @classmethod
    async def start(
        cls, role: str, module: str, arguments: list[str], log: Path, journal: Journal
    ) -> "Server":
        """Run ``python -m MODULE ARGUMENTS --ready-fd N`` and wait for its readiness line.

        Raises ProgramFailedError, with the end of the server's log, if the server ends before it is ready.
        """
        entry = journal.begin(TakenKind.PROCESS, role=role)
        read_end, write_end = os.pipe()
        try:
            with log.open("ab") as output:
                # Servers run in their own session: Ctrl-C at the terminal must reach only the command,
                # which then ends the servers in order.
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
            journal.end(entry)
            raise
        finally:
            os.close(write_end)
        identity = ProcessIdentity.of(process.pid)
        journal.amend(entry, pid=process.pid, started=identity.started if identity else 0)
        server = cls(role, process, {}, log, journal, entry)
        try:
            server.ready = await _readiness(read_end, server)
        except BaseException:
            await server._end()
            raise
        return server

    async def stop(self) -> None:
        """End the server with SIGTERM, and with SIGKILL after `GRACE_SECONDS`.

        Idempotent, and not interrupted by cancellation. Raises ProgramFailedError if the server had already
        ended: that explains earlier failures. Raises ProgramFailedError if even SIGKILL does not end it; its
        journal entry stays then.
        """
        if self._stopped:
            return
        ended = self.process.poll() is not None
        killed = await self._end()
        # A server that somebody else killed a moment ago may not have been reaped before `_end`.
        if ended or (self.process.returncode == -signal.SIGKILL and not killed):
            raise self._died("unexpectedly")

    async def _end(self) -> bool:
        """End the process; return whether SIGKILL was needed."""
        killed = False
        with trio.CancelScope(shield=True):
            for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
                if self.process.poll() is None:
                    killed = number is signal.SIGKILL
                    self.process.send_signal(number)
                    self.process.send_signal(signal.SIGCONT)  # a stopped process does not handle SIGTERM
                    with trio.move_on_after(seconds):
                        await self.process.wait()
        if self.process.poll() is None:
            # It waits in the kernel, perhaps for a device of another server, which will be ended next.
            raise ProgramFailedError(
                f"the {self.role} (pid {self.process.pid}) is still running after SIGKILL"
            )
        self._stopped = True
        self._journal.end(self._entry)
        return killed

    def _died(self, when: str) -> ProgramFailedError:
        return ProgramFailedError(
            f"the {self.role} (pid {self.process.pid}) ended {when} ({_ending(self.process.returncode)}); "
            f"its log: {' | '.join(self.log_tail(5).splitlines()) or 'empty'}"
        )

    def log_tail(self, lines: int = 12) -> str:
        """Return the last *lines* lines of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def signal_servers(run: JournalContent, number: signal.Signals) -> None:
    """Send a signal to every recorded server of *run* that still runs."""
    for server in recorded_servers(run):
        server.send(number)


def recorded_servers(run: JournalContent) -> list[ProcessIdentity]:
    """Return the recorded servers of *run*, in the order of their start."""
    return [
        ProcessIdentity(taken.fields["pid"], taken.fields["started"])
        for taken in run.taken
        if taken.kind is TakenKind.PROCESS and "pid" in taken.fields
    ]


def abort_servers(run: JournalContent) -> None:
    """Kill every server of *run* and cut its FUSE connection, so that nothing waits for it any more."""
    signal_servers(run, signal.SIGKILL)
    for taken in run.taken:
        if taken.kind is TakenKind.MOUNT and "fs_type" not in taken.fields:
            abort_served(Path(taken.fields["target"]))


def release_dying(run: JournalContent) -> None:
    """Cut the FUSE connection of each server of *run* that was killed and can't end; the others go on."""
    target: Path | None = None
    for taken in run.taken:
        if taken.kind is TakenKind.MOUNT and "fs_type" not in taken.fields:
            target = Path(taken.fields["target"])  # the mount of the server that is recorded next
        elif taken.kind is TakenKind.PROCESS and "pid" in taken.fields and target is not None:
            if ProcessIdentity(taken.fields["pid"], taken.fields["started"]).is_dying():
                abort_served(target)
            target = None


@asynccontextmanager
async def ending_bounded(journal: Journal) -> AsyncIterator[None]:
    """Ensure that a cancelled block ends in bounded time, even if a server of the run hangs.

    A thread that writes to a file system can't be interrupted while a server below does not answer. So
    cancellation continues stopped servers, and kills the servers if the block has not ended after
    `ENDING_SECONDS`. At any time, a server that was killed but can't end has its FUSE connection cut.
    """
    failure: BaseException | None = None
    ending = trio.CancelScope(shield=True)
    helping = trio.CancelScope(shield=True)

    async def watch() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with ending:
                await trio.lowlevel.checkpoint()  # passed only while the block goes on
                signal_servers(read_journal(journal.path), signal.SIGCONT)
                await trio.sleep(ENDING_SECONDS)
                await trio.to_thread.run_sync(abort_servers, read_journal(journal.path))

    async def help_the_dying() -> None:
        with helping:
            while True:
                await trio.sleep(_DYING_SECONDS)
                await trio.to_thread.run_sync(release_dying, read_journal(journal.path))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        nursery.start_soon(help_the_dying)
        try:
            yield
        except BaseException as error:  # raised again below, outside of the group
            failure = error
        ending.cancel()
        helping.cancel()
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _ending(status: int | None) -> str:
    if status is None:
        return "still ending"
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


async def _readiness(read_end: int, server: Server) -> dict[str, Any]:
    async with trio.lowlevel.FdStream(read_end) as stream:
        received = b""
        while not received.endswith(b"\n"):
            piece = await stream.receive_some()
            if not piece:
                with trio.move_on_after(_DEATH_SECONDS):
                    await server.process.wait()
                raise server._died("before it was ready")
            received += piece
    ready: dict[str, Any] = json.loads(received)
    return ready

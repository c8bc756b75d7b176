"""Starts a run's servers on record, awaits their readiness, and ends them by their own identity."""

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
"""How long a server has after SIGTERM before it is killed."""

ENDING_SECONDS = 30
"""How long servers may keep a cancelled block waiting before they are killed."""

_KILL_SECONDS = 10
_DEATH_SECONDS = 2
_DYING_SECONDS = 1

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
    _stopped: bool = False

    @classmethod
    async def start(
        cls, role: str, module: str, arguments: list[str], log: Path, journal: Journal
    ) -> "Server":
        """Run ``python -m MODULE ARGUMENTS --ready-fd N`` and wait for its readiness line.

        ProgramFailedError with the end of the server's log if it ends before it is ready.
        """
        entry = journal.begin(TakenKind.PROCESS, role=role)
        read_end, write_end = os.pipe()
        try:
            with log.open("ab") as output:
                # Servers are in a session of their own: a Ctrl-C at the terminal is for the command,
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
        """SIGTERM, then SIGKILL after a grace time; idempotent, not interrupted by cancellation.

        ProgramFailedError if it has ended before by itself: whatever failed until now, that is why. Also if
        nothing ends it; its entry stays then.
        """
        if self._stopped:
            return
        ended = self.process.poll() is not None
        killed = await self._end()
        # One that was killed a moment ago may not have been seen to end.
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
                    self.process.send_signal(signal.SIGCONT)  # a stopped one would not hear it
                    with trio.move_on_after(seconds):
                        await self.process.wait()
        if self.process.poll() is None:
            # It waits in the kernel, for a device of another server perhaps, which is ended next.
            raise ProgramFailedError(f"the {self.role} (pid {self.process.pid}) does not end")
        self._stopped = True
        self._journal.end(self._entry)
        return killed

    def _died(self, when: str) -> ProgramFailedError:
        return ProgramFailedError(
            f"the {self.role} (pid {self.process.pid}) ended {when} ({_ending(self.process.returncode)}); "
            f"its log: {' | '.join(self.log_tail(5).splitlines()) or 'empty'}"
        )

    def log_tail(self, lines: int = 12) -> str:
        """Return the last *lines* of what the server wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def signal_servers(run: JournalContent, number: signal.Signals) -> None:
    """Send a signal to every server that *run* has on record and that still runs."""
    for server in recorded_servers(run):
        server.send(number)


def recorded_servers(run: JournalContent) -> list[ProcessIdentity]:
    """Return the servers that *run* has on record, in the order of their start."""
    return [
        ProcessIdentity(taken.fields["pid"], taken.fields["started"])
        for taken in run.taken
        if taken.kind is TakenKind.PROCESS and "pid" in taken.fields
    ]


def abort_servers(run: JournalContent) -> None:
    """Kill every server of *run* and cut its connection, so that nothing waits for it any more."""
    signal_servers(run, signal.SIGKILL)
    for taken in run.taken:
        if taken.kind is TakenKind.MOUNT and "fs_type" not in taken.fields:
            abort_served(Path(taken.fields["target"]))


def release_dying(run: JournalContent) -> None:
    """Cut the connection of each server of *run* that was killed and can't end; the others go on."""
    target: Path | None = None
    for taken in run.taken:
        if taken.kind is TakenKind.MOUNT and "fs_type" not in taken.fields:
            target = Path(taken.fields["target"])  # of the server that is recorded next
        elif taken.kind is TakenKind.PROCESS and "pid" in taken.fields and target is not None:
            if ProcessIdentity(taken.fields["pid"], taken.fields["started"]).is_dying():
                abort_served(target)
            target = None


@asynccontextmanager
async def ending_bounded(journal: Journal) -> AsyncIterator[None]:
    """See that the block ends within bounds once it is cancelled, even if a server of the run hangs.

    A thread that writes to a file system above a server which does not answer can't be interrupted.
    So a stopped server is continued, and one that still keeps the run waiting is killed. One that is
    killed and can't end is helped to at any time.
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

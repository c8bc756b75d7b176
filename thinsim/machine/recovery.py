"""Tears down what a run left behind when its owner died: newest first, only what the journal names.

Every step checks the identity of what it ends (process start time, loop device's file, mount's
device, link's target), so that nothing of anybody else's is touched, and may be repeated at will.
Every step is bounded in time. One that fails may wait for what comes after it (a file system on a
server that hangs), and a server may take something until it has ended: so there are rounds, and
only in one without servers does a thing count as given back.
"""

import errno
import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from thinsim.block import loop
from thinsim.errors import KernelError
from thinsim.machine.journal import Journal, JournalContent, TakenKind, all_journals, read_journal
from thinsim.machine.mapped_devices import remove_recorded
from thinsim.machine.servers import (
    JOURNAL_VARIABLE,
    abort_servers,
    recorded_servers,
    release_dying,
    signal_servers,
)
from thinsim.machine.state import ProcessIdentity, boot_id
from thinsim.machine.unmounting import mounts_below, unmount_recorded

TERM_SECONDS = 10
"""How long a process has after SIGTERM before it is killed."""

KILL_SECONDS = 5
"""How long a process has after SIGKILL before it is a problem."""

LOOP_SECONDS = 5
"""How long a loop device may take to be detached: its last opener has to close it."""

SERVER_SECONDS = 40
"""How long the servers of a run may keep its recovery waiting before they are killed."""

_ROUNDS = 4

Notice = Callable[[str], None]
"""Is called with each line that a user should read."""


def _nobody(run: JournalContent) -> None: ...


def recover_abandoned(report: Notice, begins: Callable[[JournalContent], None] = _nobody) -> list[str]:
    """Give back what all runs have left whose owner is gone; return what could not be, in words.

    Last begun first: a benchmark's directory holds the mounts of its runs, each with its own journal. What
    could not be given back is tried again as long as something else was. *begins* is told of each run.
    """
    runs = [journal for journal in reversed(all_journals()) if journal.is_abandoned]
    for run in runs:
        begins(run)
    while True:
        problems = [recover(run, report) for run in runs]
        left = [run for run, of_it in zip(runs, problems, strict=True) if of_it]
        if len(left) in (0, len(runs)):
            return [problem for of_it in problems for problem in of_it]
        runs = left


def recover(run: JournalContent, report: Notice) -> list[str]:
    """Give back all that *run* still has; *report* gets a line per act.

    Returns what could not be given back, in words; the journal is deleted only when that is empty.
    """

    def tell(text: str) -> None:
        with suppress(OSError):  # a terminal that has hung up must not keep anything on the machine
            report(text)

    journal = Journal.join(run.path)
    with journal.locked() as exists:
        if not exists:
            return []  # somebody else has recovered it meanwhile
        # Detaching waits in the kernel for what a server was asked; the dead answer at once.
        impatient = threading.Timer(SERVER_SECONDS, abort_servers, (run,))
        impatient.daemon = True
        impatient.start()
        try:
            problems: list[str] = []
            for _ in range(_ROUNDS):
                problems = list(_give_back(read_journal(run.path), journal, tell))
                left = read_journal(run.path).taken
                if not problems and not left:
                    journal.close()
                    break
                problems = problems or [f"{taken.kind} {taken.fields}: taken meanwhile" for taken in left]
            return problems
        finally:
            impatient.cancel()


def _give_back(run: JournalContent, journal: Journal, report: Notice) -> Iterator[str]:
    rebooted = run.boot != boot_id()
    if not rebooted:
        # A server that was stopped would keep every step on its devices waiting.
        signal_servers(run, signal.SIGCONT)
        _await_the_dying(run)
        yield from _end_unrecorded_processes(run, report)
        run = read_journal(run.path)  # of what was under way, the rest is on record now
    # What is not there may be a moment later, while a server lives: looked at again in the next round.
    is_final = rebooted or not any(server.is_running() for server in recorded_servers(run))
    for taken in reversed(run.taken):
        # After a reboot only files are left; all else went with the kernel that held it.
        if not rebooted or taken.kind in (TakenKind.DIRECTORY, TakenKind.KEPT):
            try:
                UNDO[taken.kind](taken.fields, report)
            except (OSError, KernelError) as error:
                yield f"{taken.kind} {taken.fields}: {error}"
                continue
        if is_final:
            journal.end(taken.identity)


def _await_the_dying(run: JournalContent) -> None:
    """Wait for killed processes with threads in the kernel, which may be taking something yet."""
    processes = [run.owner, *recorded_servers(run)]

    def none_dying() -> bool:
        return not any(process.is_dying() for process in processes)

    if not none_dying():
        release_dying(run)
        if not _soon(none_dying, KILL_SECONDS):
            abort_servers(run)
            _soon(none_dying, KILL_SECONDS)


def _end_unrecorded_processes(run: JournalContent, report: Notice) -> Iterator[str]:
    """End the run's commands (mount, mkfs), and servers killed off before their pid was on record."""
    wanted = os.fsencode(f"{JOURNAL_VARIABLE}={run.path}")
    # Recorded servers are ended in order, by their entries.
    known = {taken.fields.get("pid") for taken in run.taken if taken.kind is TakenKind.PROCESS} | {
        os.getpid()
    }
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in known:
            continue
        try:
            if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            name = (entry / "comm").read_text().strip()
        except OSError:
            continue
        identity = ProcessIdentity.of(int(entry.name))
        if identity is not None:
            try:
                _end_process({"role": name, "pid": identity.pid, "started": identity.started}, report)
            except (OSError, KernelError) as error:
                yield f"process {name}: {error}"


def _end_process(fields: dict[str, Any], report: Notice) -> None:
    if "pid" not in fields:
        return
    identity = ProcessIdentity(fields["pid"], fields["started"])
    for signal_number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        if not identity.is_running():
            return
        report(f"ending {fields['role']} (pid {identity.pid}, {signal_number.name})")
        if not identity.send(signal_number) or not identity.send(signal.SIGCONT):
            return
        if _soon(lambda: not identity.is_running(), seconds):
            return
    raise KernelError(errno.EBUSY, f"pid {identity.pid} does not end")


def _detach(fields: dict[str, Any], report: Notice) -> None:
    file = Path(fields["file"])
    if "path" in fields:
        devices = [
            loop.LoopDevice(
                Path(fields["path"]), fields["device"], fields["inode"], fields.get("sequence", 0)
            )
        ]
    else:
        # A server killed while it attached a file of its own: its mount may be off the tree by now.
        behind = [d for d in loop.devices_of_file(Path("/", file.name)) if loop.has_lost_its_file(d)]
        devices = [*loop.devices_of_file(file), *behind]
    for device in devices:
        if not loop.is_attached(device) or not _is_on(device, file):
            continue
        report(f"detaching {device.path}")
        loop.detach(device, deferred=True)
        if not _soon(lambda device=device: not loop.is_attached(device), LOOP_SECONDS):  # type: ignore[misc]
            raise loop.LoopBusyError(device.path)


def _is_on(device: loop.LoopDevice, file: Path) -> bool:
    """Tell by the name of its file whether *device* is ours.

    Where there is no sequence number the others are not enough: FUSE mounts get the device number of
    an earlier one, and our servers count inodes from the same start. Behind a mount that was
    detached lazily the kernel names the file from the mount's root.
    """
    text = loop.attached_devices().get(device.path)
    return text is None or text.removesuffix(" (deleted)") in (str(file), f"/{file.name}")


def _unlink(fields: dict[str, Any], report: Notice) -> None:
    path = Path(fields["path"])
    if path.is_symlink() and str(path.readlink()) == fields.get("points_to"):
        report(f"removing {path}")
        path.unlink()


def _remove_directory(fields: dict[str, Any], report: Notice) -> None:
    path = Path(fields["path"])
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    if mounts_below(path):
        raise KernelError(errno.EBUSY, f"{path} still has mounts below it")
    report(f"removing {path}")
    shutil.rmtree(path)


def _nothing(fields: dict[str, Any], report: Notice) -> None:
    """Leave it: it was kept on purpose."""


UNDO: dict[TakenKind, Callable[[dict[str, Any], Notice], None]] = {
    TakenKind.PROCESS: _end_process,
    TakenKind.MOUNT: unmount_recorded,
    TakenKind.LOOP: _detach,
    TakenKind.MAPPED: remove_recorded,
    TakenKind.LINK: _unlink,
    TakenKind.DIRECTORY: _remove_directory,
    TakenKind.KEPT: _nothing,
}


def _soon(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether *condition* came true within *seconds*. Blocking."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

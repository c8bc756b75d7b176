"""`recover` tears down the resources that a dead run left, newest first, as its journal lists them.

Every step checks the identity of the resource (process start time, loop device's file, mount's device,
link's target), so that it never touches anything of another owner. Steps may be repeated, and each is
bounded in time. A step may fail because it depends on a later one: the file system may be on a server that
hangs. A server may still take resources until it has ended. So there are several rounds, and a resource
counts as released only in a round that begins without live servers.
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
"""Seconds between SIGTERM and SIGKILL."""

KILL_SECONDS = 5
"""Seconds to wait for a process after SIGKILL before it is reported as a problem."""

LOOP_SECONDS = 5
"""Seconds to wait for a loop device to detach, which happens when its last opener closes it."""

SERVER_SECONDS = 40
"""Seconds that the servers of a run may delay its recovery before they are killed."""

_ROUNDS = 4

Notice = Callable[[str], None]
"""A `Notice` receives each line of progress for the user."""


def _nobody(run: JournalContent) -> None: ...


def recover_abandoned(report: Notice, begins: Callable[[JournalContent], None] = _nobody) -> list[str]:
    """Release everything that abandoned runs have left; return a message for each resource that remains.

    The newest run comes first, since a benchmark's directory contains the mounts of its runs, which have
    their own journals. Runs with problems are tried again as long as another run could be cleaned up.
    *begins* is called with each run first.
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
    """Release everything that *run* still has; *report* receives one line per step.

    Returns a message for each resource that could not be released. If there is none, the journal is deleted.
    """

    def notify(text: str) -> None:
        with suppress(OSError):  # a terminal that has hung up must not stop the clean-up
            report(text)

    journal = Journal.join(run.path)
    with journal.locked() as exists:
        if not exists:
            return []  # another process has recovered it already
        # Detaching waits in the kernel for requests to a server. Once the server is dead they fail at once.
        impatient = threading.Timer(SERVER_SECONDS, abort_servers, (run,))
        impatient.daemon = True
        impatient.start()
        try:
            problems: list[str] = []
            for _ in range(_ROUNDS):
                problems = list(_release(read_journal(run.path), journal, notify))
                left = read_journal(run.path).taken
                if not problems and not left:
                    journal.close()
                    break
                problems = problems or [
                    f"{taken.kind} {taken.fields}: taken during the clean-up" for taken in left
                ]
            return problems
        finally:
            impatient.cancel()


def _release(run: JournalContent, journal: Journal, report: Notice) -> Iterator[str]:
    rebooted = run.boot != boot_id()
    if not rebooted:
        # A stopped server would block every step on its devices.
        signal_servers(run, signal.SIGCONT)
        _await_the_dying(run)
        yield from _end_unrecorded_processes(run, report)
        run = read_journal(run.path)  # those processes may have amended their entries
    # While a server lives, a resource that does not exist may appear a moment later. So keep its entry for
    # the next round.
    is_final = rebooted or not any(server.is_running() for server in recorded_servers(run))
    for taken in reversed(run.taken):
        # After a reboot only files are left; everything else disappeared with the old kernel.
        if not rebooted or taken.kind in (TakenKind.DIRECTORY, TakenKind.KEPT):
            try:
                UNDO[taken.kind](taken.fields, report)
            except (OSError, KernelError) as error:
                yield f"{taken.kind} {taken.fields}: {error}"
                continue
        if is_final:
            journal.end(taken.identity)


def _await_the_dying(run: JournalContent) -> None:
    """Wait for killed processes with threads in the kernel, which may still be taking a resource."""
    processes = [run.owner, *recorded_servers(run)]

    def none_dying() -> bool:
        return not any(process.is_dying() for process in processes)

    if not none_dying():
        release_dying(run)
        if not _soon(none_dying, KILL_SECONDS):
            abort_servers(run)
            _soon(none_dying, KILL_SECONDS)


def _end_unrecorded_processes(run: JournalContent, report: Notice) -> Iterator[str]:
    """End the run's commands (mount, mkfs), and servers whose pid was not recorded in time."""
    wanted = os.fsencode(f"{JOURNAL_VARIABLE}={run.path}")
    # Recorded servers end later, in the order of their entries.
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
    raise KernelError(errno.EBUSY, f"pid {identity.pid} is still running after SIGKILL")


def _detach(fields: dict[str, Any], report: Notice) -> None:
    file = Path(fields["file"])
    if "path" in fields:
        devices = [
            loop.LoopDevice(
                Path(fields["path"]), fields["device"], fields["inode"], fields.get("sequence", 0)
            )
        ]
    else:
        # The server was killed while it attached a file of its own; its mount may be detached by now.
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
    """Return whether *device* is ours, judged by the name of its file.

    Without a sequence number, device and inode are not enough: FUSE mounts reuse the device numbers of
    earlier mounts, and our servers all count inodes from the same start. After a lazy unmount the kernel
    names the file relative to the mount's root.
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
    """Leave the directory: it was kept on purpose."""


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

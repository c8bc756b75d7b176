"""Tear down what a run left behind when its owner died: newest first, only what the journal names.

Every step checks the identity of what it ends (process start time, loop device's file, link's
target), so that nothing of anybody else's is touched, and may be repeated at will.
"""

import errno
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuse_backing.mounts import mounts
from thinsim import loop
from thinsim.errors import KernelError
from thinsim.rig.journal import Journal, JournalContent, Kind, all_journals, read_journal
from thinsim.rig.servers import JOURNAL_VARIABLE
from thinsim.rig.state import ProcessIdentity, boot_id

_TERM_SECONDS = 10
_KILL_SECONDS = 5
_LOOP_SECONDS = 5


def abandoned_runs() -> list[JournalContent]:
    """Return the runs whose owner is gone."""
    return [journal for journal in all_journals() if journal.is_abandoned]


def recover(run: JournalContent, report: Callable[[str], None]) -> list[str]:
    """Give back all that *run* still has; *report* gets a line per act.

    Returns what could not be given back, in words; the journal is deleted only when that is empty.
    """
    journal = Journal.join(run.path)
    problems = []
    rebooted = run.boot != boot_id()
    if not rebooted:
        _end_unrecorded_servers(run.path, report)
    for taken in reversed(run.taken):
        if rebooted and taken.kind is not Kind.DIRECTORY:
            continue  # it went with the kernel that held it
        try:
            _UNDO[taken.kind](taken.fields, report)
        except (OSError, KernelError) as error:
            problems.append(f"{taken.kind} {taken.fields}: {error}")
        else:
            journal.end(taken.identity)
    if not problems:
        journal.close()
    return problems


def _end_unrecorded_servers(journal: Path, report: Callable[[str], None]) -> None:
    wanted = f"{JOURNAL_VARIABLE}={journal}".encode()
    recorded_later = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                identity = ProcessIdentity.of(int(entry.name))
                if identity and identity.pid != os.getpid():
                    recorded_later.append(identity)
        except OSError:
            continue
    # Recorded servers are ended in order, by their entries.
    known = {fields.get("pid") for fields in _process_fields(journal)}
    for identity in recorded_later:
        if identity.pid not in known:
            _end_process({"role": "server", "pid": identity.pid, "started": identity.started}, report)


def _process_fields(journal: Path) -> list[dict[str, Any]]:
    return [taken.fields for taken in read_journal(journal).taken if taken.kind is Kind.PROCESS]


def _end_process(fields: dict[str, Any], report: Callable[[str], None]) -> None:
    if "pid" not in fields:
        return
    identity = ProcessIdentity(fields["pid"], fields["started"])
    for signal_number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        if not identity.is_running():
            return
        report(f"ending {fields['role']} (pid {identity.pid}, {signal_number.name})")
        try:
            os.kill(identity.pid, signal_number)
        except ProcessLookupError:
            return
        if _soon(lambda: not identity.is_running(), seconds):
            return
    raise KernelError(errno.EBUSY, f"pid {identity.pid} does not end")


def _unmount(fields: dict[str, Any], report: Callable[[str], None]) -> None:
    target = Path(fields["target"])
    for mountpoint in reversed(_mounted_below(target)):
        report(f"unmounting {mountpoint}")
        _umount(mountpoint)
    if target.is_dir() and not target.is_symlink():
        target.rmdir()


def _mounted_below(path: Path) -> list[Path]:
    """Return the mount points at and below *path*, in the order in which they were mounted."""
    return [mount.mountpoint for mount in mounts() if mount.mountpoint.is_relative_to(path)]


def _umount(target: Path) -> None:
    plain = subprocess.run(["umount", str(target)], capture_output=True, text=True, check=False)
    if plain.returncode == 0:
        return
    # Busy, or served by a process that is gone: off the tree now, gone when its last user goes.
    lazy = subprocess.run(["umount", "-l", str(target)], capture_output=True, text=True, check=False)
    if lazy.returncode:
        raise KernelError(errno.EBUSY, lazy.stderr.strip())


def _detach(fields: dict[str, Any], report: Callable[[str], None]) -> None:
    if "path" in fields:
        devices = [loop.LoopDevice(Path(fields["path"]), fields["device"], fields["inode"])]
    else:
        devices = loop.devices_of(Path(fields["file"]))
    for device in devices:
        if not loop.is_attached(device):
            continue
        report(f"detaching {device.path}")
        loop.detach(device, deferred=True)
        _wait_detached(device)


def _wait_detached(device: loop.LoopDevice) -> None:
    if not _soon(lambda: not loop.is_attached(device), _LOOP_SECONDS):
        raise loop.LoopBusyError(device.path)


def _unlink(fields: dict[str, Any], report: Callable[[str], None]) -> None:
    path = Path(fields["path"])
    if path.is_symlink() and str(path.readlink()) == fields.get("points_to"):
        report(f"removing {path}")
        path.unlink()


def _remove_directory(fields: dict[str, Any], report: Callable[[str], None]) -> None:
    path = Path(fields["path"])
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    if _mounted_below(path):
        raise KernelError(errno.EBUSY, f"{path} still has mounts below it")
    report(f"removing {path}")
    shutil.rmtree(path)


def _nothing(fields: dict[str, Any], report: Callable[[str], None]) -> None:
    """Leave it: it was kept on purpose."""


_UNDO: dict[Kind, Callable[[dict[str, Any], Callable[[str], None]], None]] = {
    Kind.PROCESS: _end_process,
    Kind.MOUNT: _unmount,
    Kind.LOOP: _detach,
    Kind.LINK: _unlink,
    Kind.DIRECTORY: _remove_directory,
    Kind.KEPT: _nothing,
}


def _soon(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

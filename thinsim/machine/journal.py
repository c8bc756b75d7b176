"""A `Journal` records on disk each resource that a run takes from the machine, before the run takes it.

A journal is a file of JSON lines. The run's own process and its servers append to it. An entry begins
before the resource is taken, so that a crash in between leaves a trace. It may be amended with the result,
and it ends when the resource is released. The entries that have not ended, in reverse, are the order of
tear-down. ``thinsim.machine.recovery`` follows that order for a run whose owner has died.
"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.machine.state import STATE_VARIABLE, ProcessIdentity, boot_id, state_directory

_NAME = re.compile(r"(\d+)-[0-9a-f]{8}\.jsonl")


class TakenKind(StrEnum):
    """A `TakenKind` names a kind of resource; the comment on each kind lists the fields of its entry."""

    DIRECTORY = "directory"  # path
    PROCESS = "process"  # role, pid, started
    MOUNT = "mount"  # target; fs_type, except for our servers' FUSE mounts; once mounted: device
    LOOP = "loop"  # file; once attached: path, device, inode, sequence
    MAPPED = "mapped"  # pool: the kernel's device of that name, and those named after it; below; uuid
    LINK = "link"  # path, points_to
    KEPT = "kept"  # path: left on purpose, so there is nothing to undo


@dataclass(slots=True)
class Taken:
    """A `Taken` describes one resource that a run took: its kind and the fields known so far."""

    identity: str
    kind: TakenKind
    fields: dict[str, Any] = field(default_factory=dict)


class Journal:
    """A `Journal` belongs to one run, which calls :meth:`create`; its servers call :meth:`join`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls) -> "Journal":
        """Start a journal for a run that this process owns.

        Raises EnvironmentLacksError if the state directory is not writable.
        """
        directory = state_directory() / "runs"
        owner = ProcessIdentity.own()
        journal = cls(directory / f"{owner.pid}-{secrets.token_hex(4)}.jsonl")
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            journal._append(
                {"act": "own", "pid": owner.pid, "started": owner.started, "boot": boot_id()}, exclusive=True
            )
        except OSError as error:
            raise EnvironmentLacksError(
                f"cannot write the run's journal in {directory}: {error.strerror}; "
                f"set {STATE_VARIABLE} to a writable directory"
            ) from error
        return journal

    @classmethod
    def join(cls, path: Path) -> "Journal":
        """Return the journal of a run that another process owns, to append to it."""
        return cls(path)

    def begin(self, kind: TakenKind, **fields: object) -> str:
        """Record that the run is about to take a resource; return the identity of the entry."""
        identity = secrets.token_hex(6)
        self._append({"act": "begin", "id": identity, "kind": kind, **_plain(fields)})
        return identity

    def amend(self, identity: str, **fields: object) -> None:
        """Add *fields*, known only after the resource was taken, to the entry."""
        self._append({"act": "amend", "id": identity, **_plain(fields)})

    def end(self, identity: str) -> None:
        """Record that the resource was released."""
        self._append({"act": "end", "id": identity})

    def close(self) -> None:
        """Delete the journal once nothing of the run is left. Idempotent."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Lock the journal against other processes that would recover the run.

        Yields False if the journal has been deleted.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield os.fstat(fd).st_nlink > 0
        finally:
            os.close(fd)

    def _append(self, line: dict[str, object], *, exclusive: bool = False) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if exclusive else 0)
        fd = os.open(self.path, flags, 0o600)
        try:
            # One write call per line: O_APPEND keeps the lines of several processes apart. Each line starts
            # with a newline, so that a line torn by a crash or a full disk does not spoil the next.
            text = json.dumps(line).encode()
            os.write(fd, text if exclusive else b"\n" + text)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class JournalContent:
    """A `JournalContent` names the run's owner and lists the resources it still has, oldest first."""

    path: Path
    owner: ProcessIdentity
    boot: str
    taken: tuple[Taken, ...]

    @property
    def is_abandoned(self) -> bool:
        """Return whether the owner is gone, so that no other process will tear the run down."""
        return self.boot != boot_id() or not self.owner.is_running() or self.owner.is_dying()


def read_journal(path: Path) -> JournalContent:
    """Read a journal; skip a line that a crash tore.

    Raises InvalidValueError if the file is not a journal, FileNotFoundError if it is gone.
    """
    owner: ProcessIdentity | None = None
    boot = ""
    taken: dict[str, Taken] = {}
    content = path.read_bytes()
    for number, text in enumerate(content.split(b"\n"), 1):
        if not text:
            continue
        try:
            line = json.loads(text)
            match line["act"]:
                case "own":
                    owner, boot = ProcessIdentity(line["pid"], line["started"]), line["boot"]
                case "begin":
                    fields = {k: v for k, v in line.items() if k not in ("act", "id", "kind")}
                    taken[line["id"]] = Taken(line["id"], TakenKind(line["kind"]), fields)
                case "amend":
                    fields = {k: v for k, v in line.items() if k not in ("act", "id")}
                    taken[line["id"]].fields.update(fields)
                case "end":
                    taken.pop(line["id"], None)
        except (ValueError, KeyError, TypeError) as error:
            if owner is None and not _is_unborn(path, content):
                raise InvalidValueError(f"{path}, line {number}: not a journal of a run ({error})") from None
    if owner is None and _is_unborn(path, content):
        pid = int(path.name.partition("-")[0])
        owner, boot = ProcessIdentity.of(pid) or ProcessIdentity(pid, 0), boot_id()
    if owner is None:
        raise InvalidValueError(f"{path}: not a journal of a run (it names no owner)")
    return JournalContent(path, owner, boot, tuple(taken.values()))


def _is_unborn(path: Path, content: bytes) -> bool:
    """Return whether the owner was killed while it wrote the first line: it has taken nothing yet."""
    return bool(_NAME.fullmatch(path.name)) and b"\n" not in content


def all_journals() -> list[JournalContent]:
    """Return the journals of every recorded run, oldest first; skip files that are not journals."""
    found = []
    try:
        paths = list((state_directory() / "runs").glob("*.jsonl"))
    except PermissionError:
        return []  # the directory is another user's: it has no run of ours
    for path in paths:
        try:
            found.append((path.stat().st_mtime, read_journal(path)))
        except (InvalidValueError, FileNotFoundError):  # not a journal, or deleted since the listing
            continue
    return [journal for _, journal in sorted(found, key=lambda pair: pair[0])]


def _plain(fields: dict[str, object]) -> dict[str, object]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}

"""Writes down what a run takes from the machine, on disk before it is taken.

A journal is a file of JSON lines, appended to by the run's own process and by its servers. An entry begins
before the act (so that a crash in the middle is seen), may be amended with what the act gave, and
ends when the thing is given back. Read in reverse, what has begun and not ended is the order of
tear-down; ``thinsim.machine.recovery`` does that for a run whose owner has died.
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
    """What can be taken, with the fields of its entry."""

    DIRECTORY = "directory"  # path
    PROCESS = "process"  # role, pid, started
    MOUNT = "mount"  # target; but for our servers' FUSE mounts: fs_type; once mounted: device
    LOOP = "loop"  # file; once attached: path, device, inode, sequence
    MAPPED = "mapped"  # pool: the kernel's device of that name, and those named after it; below; uuid
    LINK = "link"  # path, points_to
    KEPT = "kept"  # path: left on purpose, nothing to undo


@dataclass(slots=True)
class Taken:
    """One thing taken: its kind and the fields known so far."""

    identity: str
    kind: TakenKind
    fields: dict[str, Any] = field(default_factory=dict)


class Journal:
    """The journal of one run; create with :meth:`create`, join as a server with :meth:`join`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls) -> "Journal":
        """Start a journal for a run that this process owns.

        EnvironmentLacksError where the state directory can't be written.
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
                f"cannot keep a journal of the run in {directory}: {error.strerror}; "
                f"set {STATE_VARIABLE} to a directory that can be written"
            ) from error
        return journal

    @classmethod
    def join(cls, path: Path) -> "Journal":
        """Append to the journal of a run that another process owns."""
        return cls(path)

    def begin(self, kind: TakenKind, **fields: object) -> str:
        """Record that something is about to be taken; returns its identity."""
        identity = secrets.token_hex(6)
        self._append({"act": "begin", "id": identity, "kind": kind, **_plain(fields)})
        return identity

    def amend(self, identity: str, **fields: object) -> None:
        """Add what the act gave."""
        self._append({"act": "amend", "id": identity, **_plain(fields)})

    def end(self, identity: str) -> None:
        """Record that it was given back."""
        self._append({"act": "end", "id": identity})

    def close(self) -> None:
        """Delete the journal: nothing of the run is left. Idempotent."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the journal against others who would recover the run; False if it is deleted already."""
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
            # One write call per line: O_APPEND keeps lines of several processes apart. A line brings the
            # newline before it, so that a line torn by a crash or a full disk does not spoil the next.
            text = json.dumps(line).encode()
            os.write(fd, text if exclusive else b"\n" + text)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class JournalContent:
    """A journal as read: who owns the run, and what it still has, in the order in which it was taken."""

    path: Path
    owner: ProcessIdentity
    boot: str
    taken: tuple[Taken, ...]

    @property
    def is_abandoned(self) -> bool:
        """Whether the owner is gone, so that nobody else will tear the run down."""
        return self.boot != boot_id() or not self.owner.is_running() or self.owner.is_dying()


def read_journal(path: Path) -> JournalContent:
    """Read a journal; a torn line (crash while appending) is passed over.

    Raises InvalidValueError for a file that is no journal, FileNotFoundError if it is gone.
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
    """Whether the owner was killed while it wrote the first line: it has taken nothing yet."""
    return bool(_NAME.fullmatch(path.name)) and b"\n" not in content


def all_journals() -> list[JournalContent]:
    """Return the journals of every run on record, oldest first; files that are none are passed over."""
    found = []
    try:
        paths = list((state_directory() / "runs").glob("*.jsonl"))
    except PermissionError:
        return []  # another user's: no run of ours can be there
    for path in paths:
        try:
            found.append((path.stat().st_mtime, read_journal(path)))
        except (InvalidValueError, FileNotFoundError):  # not ours; ended while we looked
            continue
    return [journal for _, journal in sorted(found, key=lambda pair: pair[0])]


def _plain(fields: dict[str, object]) -> dict[str, object]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}

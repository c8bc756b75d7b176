"""What a run has taken from the machine, on disk before it is taken.

A journal is a file of JSON lines, appended to by the bench and by its servers. An entry begins
before the act (so that a crash in the middle is seen), may be amended with what the act gave, and
ends when the thing is given back. Read in reverse, what has begun and not ended is the order of
tear-down; ``thinsim.rig.recovery`` does that for a run whose owner has died.
"""

import json
import os
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from thinsim.errors import InvalidValueError
from thinsim.rig.state import ProcessIdentity, boot_id, state_directory


class Kind(StrEnum):
    """What can be taken, with the fields of its entry."""

    DIRECTORY = "directory"  # path
    PROCESS = "process"  # role, pid, started
    MOUNT = "mount"  # target
    LOOP = "loop"  # file; once attached: path, device, inode
    LINK = "link"  # path, points_to
    KEPT = "kept"  # path: left on purpose, nothing to undo


@dataclass(slots=True)
class Taken:
    """One thing taken: its kind and the fields known so far."""

    identity: str
    kind: Kind
    fields: dict[str, Any] = field(default_factory=dict)


class Journal:
    """The journal of one run; create with :meth:`create`, join as a server with :meth:`join`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls) -> "Journal":
        """Start a journal for a run that this process owns."""
        directory = state_directory() / "runs"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = ProcessIdentity.own()
        journal = cls(directory / f"{owner.pid}-{secrets.token_hex(4)}.jsonl")
        journal._append(
            {"act": "own", "pid": owner.pid, "started": owner.started, "boot": boot_id()}, exclusive=True
        )
        return journal

    @classmethod
    def join(cls, path: Path) -> "Journal":
        """Append to the journal of a run that another process owns."""
        return cls(path)

    def begin(self, kind: Kind, **fields: object) -> str:
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

    def _append(self, line: dict[str, object], *, exclusive: bool = False) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if exclusive else 0)
        fd = os.open(self.path, flags, 0o600)
        try:
            # One write call per line: O_APPEND keeps lines of several processes apart.
            os.write(fd, json.dumps(line).encode() + b"\n")
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
        return self.boot != boot_id() or not self.owner.is_running()


def read_journal(path: Path) -> JournalContent:
    """Read a journal; a torn last line (crash while appending) is passed over.

    Raises InvalidValueError for a file that is no journal.
    """
    owner: ProcessIdentity | None = None
    boot = ""
    taken: dict[str, Taken] = {}
    for number, text in enumerate(path.read_bytes().split(b"\n"), 1):
        if not text:
            continue
        try:
            line = json.loads(text)
            match line["act"]:
                case "own":
                    owner, boot = ProcessIdentity(line["pid"], line["started"]), line["boot"]
                case "begin":
                    fields = {k: v for k, v in line.items() if k not in ("act", "id", "kind")}
                    taken[line["id"]] = Taken(line["id"], Kind(line["kind"]), fields)
                case "amend":
                    fields = {k: v for k, v in line.items() if k not in ("act", "id")}
                    taken[line["id"]].fields.update(fields)
                case "end":
                    taken.pop(line["id"], None)
        except (ValueError, KeyError, TypeError) as error:
            if owner is None:
                raise InvalidValueError(f"{path}, line {number}: not a journal of a run ({error})") from None
    if owner is None:
        raise InvalidValueError(f"{path}: not a journal of a run (it names no owner)")
    return JournalContent(path, owner, boot, tuple(taken.values()))


def all_journals() -> list[JournalContent]:
    """Return the journals of every run on record, oldest first; files that are none are passed over."""
    found = []
    for path in sorted((state_directory() / "runs").glob("*.jsonl"), key=lambda p: p.stat().st_mtime):
        try:
            found.append(read_journal(path))
        except InvalidValueError:
            continue
    return found


def _plain(fields: dict[str, object]) -> dict[str, object]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}

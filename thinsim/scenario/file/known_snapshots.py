"""`KnownSnapshots` follows the snapshots of a scenario from step to step without running it.

The snapshotter reads its store before it acts on a device, so these refusals do not depend on a rig, a fault
or a busy device (``thinsim/snapshotter``: plan, committable and removable in ``snapshot_tables.py``, mount_of
in ``mounting.py``).
"""

import re
from dataclasses import dataclass, field, replace

from thinsim.did_you_mean import unknown_name
from thinsim.snapshotter.interface import Kind

ALREADY_EXISTS, NOT_FOUND = "already_exists", "not_found"
FAILED_PRECONDITION, INVALID_ARGUMENT = "failed_precondition", "invalid_argument"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A `Refusal` is the reason why a step cannot succeed: *keys* are the keys of the step at fault."""

    keys: tuple[str, ...]
    text: str
    word: str = ""
    """The word of ``fails`` for the error; empty if ``fails`` has no word for it."""
    in_files: bool = False
    """The file system refuses the step, which a device that fails can do before it, with another error."""


@dataclass(frozen=True, slots=True)
class KnownSnapshot:
    """A `KnownSnapshot` is a snapshot of the scenario; *files* are its files by name, None if unknown."""

    kind: Kind
    parent: str = ""
    files: frozenset[str] | None = frozenset()
    certain: bool = True
    """False if an earlier step may have failed, so that the snapshot may not exist."""


@dataclass(slots=True)
class KnownSnapshots:
    """A `KnownSnapshots` has the snapshots at one point of a scenario, and what became of earlier ones."""

    snapshots: dict[str, KnownSnapshot] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    """The end of each snapshot that does not exist any more, in words."""
    ever: set[str] = field(default_factory=set)
    """The name of each snapshot so far."""
    images: set[str] = field(default_factory=set)
    """The prefixes of layers whose number is in an archive."""
    held: dict[str, bool] = field(default_factory=dict)
    """The held devices by key; False if a held device may be released already."""
    down: bool = False
    """The snapshotter was killed and not opened again."""
    where: str = ""
    """The present step in words."""

    def copy(self) -> "KnownSnapshots":
        """Return a copy that changes on its own."""
        return KnownSnapshots(
            dict(self.snapshots),
            dict(self.gone),
            set(self.ever),
            set(self.images),
            dict(self.held),
            self.down,
            self.where,
        )

    def refuse_creation(self, key: str, parent: str) -> Refusal | None:
        """Return why a snapshot *key* on *parent* cannot be created."""
        if parent:
            below = self.snapshots.get(parent)
            if below is None:
                return self._missing("parent", parent)
            if below.certain and below.kind is not Kind.COMMITTED:
                return Refusal(
                    ("parent",),
                    f"parent {parent!r} is {_article(below.kind)}, but a parent must be committed",
                    INVALID_ARGUMENT,
                )
        return self._taken("key", key)

    def create(self, kind: Kind, key: str, parent: str) -> None:
        """Add the snapshot *key*, which has the files of *parent*."""
        below = self.snapshots.get(parent)
        files = frozenset() if not parent else None if below is None else below.files
        self._add(key, KnownSnapshot(kind, parent, files))

    def refuse_commit(self, name: str, key: str) -> Refusal | None:
        """Return why the active snapshot *key* cannot be committed as *name*."""
        taken = self._taken("name", name)
        if taken is not None:
            return taken
        found = self.snapshots.get(key)
        if found is None:
            return self._missing("key", key)
        if found.certain and found.kind is not Kind.ACTIVE:
            text = f"snapshot {key!r} is {_article(found.kind)}: only an active one can be committed"
            return Refusal(("key",), text, FAILED_PRECONDITION)
        return None

    def commit(self, name: str, key: str) -> None:
        """Turn *key* into the committed snapshot *name*."""
        found = self.snapshots.pop(key, KnownSnapshot(Kind.ACTIVE, files=None))
        self.gone[key] = f"was committed as {name!r} in {self.where}"
        self._add(name, replace(found, kind=Kind.COMMITTED, certain=True))

    def refuse_removal(self, key: str) -> Refusal | None:
        """Return why the snapshot *key* cannot be removed."""
        if key not in self.snapshots:
            return self._missing("key", key)
        children = [name for name, each in self.snapshots.items() if each.parent == key and each.certain]
        if children and self.snapshots[key].certain:
            text = f"snapshot {key!r} has a child, {children[0]!r}: remove that first"
            return Refusal(("key",), text, FAILED_PRECONDITION)
        return None

    def remove(self, key: str) -> None:
        """Remove the snapshot *key*."""
        self.snapshots.pop(key, None)
        self.gone[key] = f"was removed in {self.where}"

    def refuse_use(self, key: str) -> Refusal | None:
        """Return why the device of *key* cannot be used at all."""
        return None if key in self.snapshots else self._missing("key", key)

    def refuse_mount(self, key: str, *, to_write: bool = True) -> Refusal | None:
        """Return why the file system of *key* cannot be mounted, and written if *to_write*."""
        found = self.snapshots.get(key)
        if found is None:
            return self._missing("key", key)
        if not found.certain:
            return None
        if found.kind is Kind.COMMITTED:
            text = f"snapshot {key!r} is committed, and only an active one can be changed: prepare one on it"
            return Refusal(("key",), text, FAILED_PRECONDITION)
        if to_write and found.kind is Kind.VIEW:
            text = f"snapshot {key!r} is a view, which is read-only: prepare an active one"
            return Refusal(("key",), text, "EROFS", in_files=True)
        return None

    def refuse_files(self, key: str, name: str, *, new: bool) -> Refusal | None:
        """Return why the files *name* in *key* cannot be written as *new* ones, or be found as old ones."""
        refused = self.refuse_mount(key)
        if refused is not None:
            return refused
        files = self.snapshots[key].files
        if files is None or (name in files) is not new:
            return None
        if new:
            text = f"snapshot {key!r} has files {name!r} already: choose another name, or overwrite them"
            return Refusal(("name",), text, "EEXIST", in_files=True)
        return Refusal(
            ("name",), unknown_name(f"snapshot {key!r}: file", name, files), "ENOENT", in_files=True
        )

    def change_files(self, key: str, *, add: str = "", drop: str = "") -> None:
        """Add the files *add* to snapshot *key* and drop the files *drop*."""
        found = self.snapshots.get(key)
        if found is not None and found.files is not None:
            self.snapshots[key] = replace(found, files=(found.files | {add}) - {drop})

    def forget_files(self, key: str) -> None:
        """Record that the files of *key* are not known any more."""
        if key in self.snapshots:
            self.snapshots[key] = replace(self.snapshots[key], files=None)

    def doubt_since(self, before: "KnownSnapshots") -> None:
        """Make everything uncertain that has changed since *before*: the step in between may have failed."""
        for name in {**before.snapshots, **self.snapshots}:
            old, new = before.snapshots.get(name), self.snapshots.get(name)
            if old == new:
                continue
            found = new or old
            assert found is not None, "one of the two has the name"
            same = old is not None and new is not None and old.kind is new.kind
            self.snapshots[name] = replace(found, files=None, certain=found.certain and same)
        for key in before.held.keys() ^ self.held.keys():
            self.held[key] = False

    def existed(self, name: str) -> bool:
        """Return whether a snapshot *name* may have existed up to now."""
        return not name or name in self.ever or self._in_an_image(name)

    def _add(self, name: str, snapshot: KnownSnapshot) -> None:
        self.snapshots[name] = snapshot
        self.gone.pop(name, None)
        self.ever.add(name)

    def _missing(self, at: str, name: str) -> Refusal | None:
        if self._in_an_image(name):
            return None
        if name in self.gone:
            return Refusal((at,), f"snapshot {name!r} {self.gone[name]}", NOT_FOUND)
        return Refusal((at,), unknown_name("snapshot", name, self.snapshots), NOT_FOUND)

    def _taken(self, at: str, name: str) -> Refusal | None:
        if not name:
            return Refusal((at,), "a snapshot needs a name", INVALID_ARGUMENT)
        found = self.snapshots.get(name)
        if found is None or not found.certain:
            return None
        return Refusal(
            (at,), f"there is {_article(found.kind)} {name!r} already: choose another name", ALREADY_EXISTS
        )

    def _in_an_image(self, name: str) -> bool:
        prefix, _, number = name.rpartition("-")
        return bool(re.fullmatch(r"[1-9]\d*", number)) and prefix in self.images


def _article(kind: Kind) -> str:
    return {
        Kind.ACTIVE: "an active snapshot",
        Kind.VIEW: "a view",
        Kind.COMMITTED: "a committed snapshot",
    }[kind]

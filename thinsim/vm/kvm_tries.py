"""Remembers in a small file what tries of KVM found in this boot of the machine.

It is about the machine and no run's own, so no variable of a run (``THINSIM_STATE_DIR``) moves it.
Whatever is wrong with the file, it is as if nothing were known: the worst is one more try.
"""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinsim.machine.state import boot_id
from thinsim.vm.kernels import GuestKernel
from thinsim.vm.tools import QEMU

_FILE = "kvm-tries.json"
_MOST_BYTES = 1 << 16
_MOST_TRIES = 16
"""Kernels and versions of qemu that are remembered; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class Acceleration:
    """Whether guests run under KVM, and why or why not."""

    kvm: bool
    why: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What a try was of: *boot* of the machine, *kernel* and *qemu* as path and time of change."""

    boot: str
    kernel: str
    qemu: str

    @classmethod
    def now(cls, kernel: GuestKernel) -> "Tried":
        """Return what a try of *kernel* at this moment would be of."""
        return cls(boot_id(), _version(kernel.image), _version(shutil.which(QEMU)))


def recall(tried: Tried, place: Path) -> Acceleration | None:
    """Return what the last try of just this found; None if there was none that can be believed."""
    for entry in reversed(_entries(place)):
        if _key(entry) == (tried.boot, tried.kernel, tried.qemu):
            return Acceleration(entry["kvm"], entry["why"])
    return None


def remember(tried: Tried, found: Acceleration, place: Path, say: Callable[[str], None]) -> None:
    """Keep what a try found. Where that can't be written, it is said, and the next guest tries again."""
    key = (tried.boot, tried.kernel, tried.qemu)
    kept = [entry for entry in _entries(place) if entry["boot"] == tried.boot and _key(entry) != key]
    kept.append(
        {"boot": key[0], "kernel": key[1], "qemu": key[2], "kvm": found.kvm, "why": found.why},
    )
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_FILE, dir=place)  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as new:
                json.dump(kept[-_MOST_TRIES:], new)
            Path(name).rename(place / _FILE)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        say(f"what the try of KVM found can't be remembered: {error}")


def _entries(place: Path) -> list[dict[str, Any]]:
    """Return the entries that have the right form, oldest first; none if others could have written it."""
    try:
        # Whatever lies there: no link is followed, and no pipe is waited for.
        descriptor = os.open(place / _FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not _is_own(os.fstat(descriptor)) or not _is_own(place.stat()):
                return []
            found = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    return [entry for entry in found if _is_entry(entry)] if isinstance(found, list) else []


def _is_own(found: os.stat_result) -> bool:
    regular = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    return regular and found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and all(isinstance(entry.get(name), str) for name in ("boot", "kernel", "qemu", "why"))
        and isinstance(entry.get("kvm"), bool)
    )


def _key(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["boot"], entry["kernel"], entry["qemu"]


def _version(program: Path | str | None) -> str:
    """Return a path as it is now: replaced by another version it reads otherwise."""
    if program is None:
        return "none"
    path = Path(program).resolve()
    try:
        return f"{path} {path.stat().st_mtime_ns}"
    except OSError:
        return str(path)

"""A small file remembers the results of KVM tries in this boot of the machine.

The file describes the machine, not a run, so ``THINSIM_STATE_DIR`` does not move it. A file with any fault
counts as empty: the cost is one more try.
"""

import json
import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinsim.machine.programs import find_program
from thinsim.machine.state import boot_id
from thinsim.vm.kernels import GuestKernel
from thinsim.vm.tools import QEMU

_FILE = "kvm-tries.json"
_MOST_BYTES = 1 << 16
_MOST_TRIES = 16
"""Pairs of kernel and qemu version that are remembered; the oldest is dropped first."""


@dataclass(frozen=True, slots=True)
class Acceleration:
    """An `Acceleration` states whether guests run under KVM, and why or why not."""

    kvm: bool
    why: str


@dataclass(frozen=True, slots=True)
class Tried:
    """A `Tried` identifies the conditions of a try.

    *boot* is the boot of the machine. *kernel* and *qemu* are each a path and a time of modification.
    """

    boot: str
    kernel: str
    qemu: str

    @classmethod
    def now(cls, kernel: GuestKernel) -> "Tried":
        """Return the conditions of a try of *kernel* at this moment."""
        return cls(boot_id(), _version(kernel.image), _version(find_program(QEMU)))


def recall(tried: Tried, place: Path) -> Acceleration | None:
    """Return the result of the last try under the same conditions; None if there is no trustworthy one."""
    for entry in reversed(_entries(place)):
        if _key(entry) == (tried.boot, tried.kernel, tried.qemu):
            return Acceleration(entry["kvm"], entry["why"])
    return None


def remember(tried: Tried, found: Acceleration, place: Path, report: Callable[[str], None]) -> None:
    """Save the result of a try. If the file can't be written, report why; the next guest tries KVM again."""
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
        report(f"cannot save the result of the KVM try: {error}")


def _entries(place: Path) -> list[dict[str, Any]]:
    """Return the well-formed entries, oldest first; none if another user could have written the file."""
    try:
        # Follow no symlink and wait for no pipe: the file may have been planted.
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
    """Return the program's path and time of modification; another version gives another text."""
    if program is None:
        return "none"
    path = Path(program).resolve()
    try:
        return f"{path} {path.stat().st_mtime_ns}"
    except OSError:
        return str(path)

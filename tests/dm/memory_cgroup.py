"""A `MemoryCgroup` limits the memory of the processes in it, page cache included (cgroup v2, or v1)."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PATIENCE = 10.0
"""Seconds in which the last process leaves the cgroup."""


class NoMemoryCgroupError(Exception):
    """A `NoMemoryCgroupError` names what the machine lacks."""


@dataclass(frozen=True, slots=True)
class MemoryCgroup:
    """A `MemoryCgroup` is a directory of the cgroup file system."""

    path: Path
    unified: bool

    def entering(self, command: list[str]) -> list[str]:
        """Return the command that runs *command*, and its children, in this cgroup."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.path / "cgroup.procs"), *command]

    def limit(self, size: int) -> None:
        """Allow *size* bytes, and no swap."""
        if self.unified:
            (self.path / "memory.max").write_text(str(size))
            self._write_if_there("memory.swap.max", 0)
        else:
            (self.path / "memory.limit_in_bytes").write_text(str(size))
            self._write_if_there("memory.memsw.limit_in_bytes", size)

    def times_full(self) -> int:
        """Return how often an allocation met the limit, so that the kernel had to reclaim memory."""
        if not self.unified:
            return int((self.path / "memory.failcnt").read_text())
        events = dict(line.split() for line in (self.path / "memory.events").read_text().splitlines())
        return int(events["max"])

    def _write_if_there(self, name: str, value: int) -> None:
        if (self.path / name).exists():
            (self.path / name).write_text(str(value))


@contextmanager
def memory_cgroup(name: str) -> Iterator[MemoryCgroup]:
    """Make a cgroup below the root, and remove it when its processes have ended.

    Raises NoMemoryCgroupError.
    """
    parent, unified = _parent()
    path = parent / f"{name}-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        raise NoMemoryCgroupError(f"cannot make a cgroup in {parent}: {error.strerror}") from error
    try:
        yield MemoryCgroup(path, unified)
    finally:
        deadline = time.monotonic() + _PATIENCE
        while path.is_dir():
            # EBUSY until the kernel has forgotten the last process.
            with suppress(OSError) if time.monotonic() < deadline else suppress():
                path.rmdir()
            time.sleep(0.01)


def _parent() -> tuple[Path, bool]:
    control = _ROOT / "cgroup.subtree_control"
    if control.exists():
        if "memory" not in control.read_text().split():
            raise NoMemoryCgroupError(f"{control} does not name the memory controller")
        return _ROOT, True
    if (_ROOT / "memory" / "memory.limit_in_bytes").exists():
        return _ROOT / "memory", False
    raise NoMemoryCgroupError(f"{_ROOT} has neither {control.name} nor a memory controller of version 1")

"""A `MemoryCgroup` limits the memory of the processes in it, page cache included (cgroup v2, or v1)."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_BATCH = 64 * 4096
"""Bytes that the kernel charges at once (mm/memcontrol.c, MEMCG_CHARGE_BATCH)."""
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

    def squeeze(self, spare: int) -> None:
        """Limit the memory to what is in use now without the page cache, and *spare* bytes; allow no swap."""
        usage, cache = ("memory.current", "file") if self.unified else ("memory.usage_in_bytes", "cache")
        size = int((self.path / usage).read_text()) - self._numbers("memory.stat")[cache] + spare
        if self.unified:
            (self.path / "memory.max").write_text(str(size))
            self._write_if_there("memory.swap.max", 0)
        else:
            (self.path / "memory.limit_in_bytes").write_text(str(size))
            self._write_if_there("memory.memsw.limit_in_bytes", size)
            (self.path / "memory.max_usage_in_bytes").write_text("0")

    def was_full(self) -> bool:
        """Return whether the processes have met the limit, so that the kernel had to reclaim memory."""
        if self.unified:
            return self._numbers("memory.events")["max"] > 0
        limit, most = (
            int((self.path / f"memory.{name}_in_bytes").read_text()) for name in ("limit", "max_usage")
        )
        return most > limit - _BATCH

    def _numbers(self, name: str) -> dict[str, int]:
        lines = [line.split() for line in (self.path / name).read_text().splitlines()]
        return {key: int(number) for key, number in lines}

    def _write_if_there(self, name: str, value: int) -> None:
        if (self.path / name).exists():
            (self.path / name).write_text(str(value))


@contextmanager
def memory_cgroup(name: str) -> Iterator[MemoryCgroup]:
    """Make a cgroup below the root; at the end, kill the processes in it and remove it.

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
            for pid in (path / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            # EBUSY until the kernel has forgotten the last process.
            try:
                path.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
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

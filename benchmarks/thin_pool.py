"""A `ServedThinPool` is a pool that ``benchmarks.thin_device`` serves in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuse_backing.fuse_uring import FuseUring
from thinsim.machine.fuse_transport import VARIABLE


@dataclass(frozen=True, slots=True)
class ServedThinPool:
    """A `ServedThinPool` has the paths of its active thin devices."""

    devices: Sequence[Path]
    process: subprocess.Popen[str]

    def ask(self, order: str) -> Any:
        """Give an order of ``benchmarks.thin_device``, and return the answer. RuntimeError without one."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        return _answer(self.process, order)


@contextmanager
def thin_pool(
    directory: Path, size: int, *words: str, plane: str = "on", uring: FuseUring = FuseUring.OFF
) -> Iterator[ServedThinPool]:
    """Run a pool with files in *directory* and devices of *size* bytes; take it down at the end.

    *words* are options of ``benchmarks.thin_device``; *plane* is the value of ``THINSIM_PLANE``, and *uring*
    chooses the way of the requests. Its journal is in *directory*. Its process group keeps a terminal's
    Ctrl-C away.
    """
    environment = {
        **os.environ,
        "THINSIM_PLANE": plane,
        VARIABLE: uring.value,
        "THINSIM_STATE_DIR": str(directory / "state"),
    }
    command = [sys.executable, "-m", "benchmarks.thin_device", str(directory), str(size), *words]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        process_group=0,
    ) as process:
        assert process.stdin is not None
        try:
            yield ServedThinPool([Path(each) for each in _answer(process, "set up")], process)
        finally:
            process.stdin.close()
            process.wait()


def _answer(process: subprocess.Popen[str], order: str) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the process of the thin devices ended (order: {order}); its error is above")
    return json.loads(line)

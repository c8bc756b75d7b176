"""One process at a time has a snapshotter's root directory open, as with containerd's bbolt files."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thinsim.snapshotter.errors import FailedPreconditionError

_LOCK = "lock"


@contextmanager
def root_held(root: Path) -> Iterator[None]:
    """Hold *root*, which is made if need be, while the block runs; it is free again when the process dies.

    FailedPreconditionError if another process holds it.
    """
    root.mkdir(mode=0o750, parents=True, exist_ok=True)
    fd = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPreconditionError(
                f"another process has the snapshotter in {root} open (fuser {root / _LOCK} shows it)"
            ) from None
        yield
    finally:
        os.close(fd)

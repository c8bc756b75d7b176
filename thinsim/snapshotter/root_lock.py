"""A `RootLock` lets only one snapshotter at a time use a root directory.

containerd's databases are locked by bbolt (``bolt.Open``, flock(2)). thinsim's databases stay readable
for tools, so the lock is on the directory. The kernel releases it when the process ends in any way.
"""

import errno
import fcntl
import os
from pathlib import Path

from thinsim.snapshotter.errors import FailedPreconditionError


class RootLock:
    """A `RootLock` locks the directory *root*, or raises FailedPreconditionError if *root* is locked."""

    def __init__(self, root: Path) -> None:
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise FailedPreconditionError(
                f"{root} is in use by another snapshotter; to find its process, run: fuser {root}"
            ) from error

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

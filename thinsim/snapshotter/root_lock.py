"""Lets one snapshotter at a time into a root directory.

bbolt locks the databases of containerd (``bolt.Open``, flock(2)); ours stay readable for tools, so the
directory has a lock of its own. The kernel gives it back with the process, however that ends.
"""

import errno
import fcntl
import os
from pathlib import Path

from thinsim.snapshotter.errors import FailedPreconditionError


class RootLock:
    """Holds *root*; FailedPreconditionError while somebody else does."""

    def __init__(self, root: Path) -> None:
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise FailedPreconditionError(
                f"{root} is in use by another snapshotter (fuser {root} shows it)"
            ) from error

    def release(self) -> None:
        """Give it back. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

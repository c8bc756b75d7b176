"""`SparseBlockDevice` is a block device on a sparse file: a discard punches a hole in the file.

The ledger records the bytes that each punch freed. The process rig and the tests use this device: it needs
no root and no device nodes, and the host file system allocates its space.
"""

import errno
import os
import time
from pathlib import Path

from fuse_backing.accounting.interface import HostAccounting
from fuse_backing.faults import Operation
from fuse_backing.ledger import Ledger
from fuse_backing.sparsefile import SparseFile
from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE


class SparseBlockDevice:
    """A `SparseBlockDevice` uses a regular file of the host; *ledger*, if any, records each discard."""

    def __init__(
        self, path: Path, ledger: Ledger | None = None, accounting: HostAccounting | None = None
    ) -> None:
        self.path = path
        self.written = 0
        """The number of bytes written since the device was opened."""
        self._ledger = ledger
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._file = SparseFile(self._fd, accounting)
        self._size = self._file.size

    @classmethod
    def create(
        cls,
        path: Path,
        size: int,
        ledger: Ledger | None = None,
        accounting: HostAccounting | None = None,
    ) -> "SparseBlockDevice":
        """Create the file as one hole of *size* bytes; FileExistsError if it exists.

        *accounting*, for the file system of the host, measures the bytes that discards free. Without it, the
        file's map of extents does.
        """
        with path.open("xb") as made:
            made.truncate(size)
        return cls(path, ledger, accounting)

    @property
    def size(self) -> int:
        """Return the size in bytes, at open or at the last :meth:`refresh`."""
        return self._size

    @property
    def max_discard_bytes(self) -> int:
        """Return the size of the device: a punch has no limit."""
        return self._size

    def refresh(self) -> None:
        """Update the size to that of the file, as LOOP_SET_CAPACITY does for a loop device."""
        self._size = self._file.size

    def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes; EIO past the end."""
        answer = os.pread(self._fd, length, offset)
        if len(answer) != length:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
        return answer

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of *data*; EIO past the end."""
        if offset + len(data) > self._size:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
        source = memoryview(data)
        while source:
            done = os.pwrite(self._fd, source, offset)
            self.written += done
            offset, source = offset + done, source[done:]

    def discard(self, offset: int, length: int) -> None:
        """Punch a hole; EINVAL past the end, ``OSError`` if the host file system refuses."""
        if offset + length > self._size:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(self.path))
        change = self._file.punch(offset, length)
        if self._ledger is not None:
            self._ledger.record(
                time=time.time(),
                file=self.path.name,
                operation=Operation.PUNCH,
                mode=FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                offset=offset,
                length=length,
                allocated=change.allocated,
                freed=change.freed,
                errno=change.errno,
                duration=change.duration,
            )
        if change.errno:
            raise OSError(change.errno, os.strerror(change.errno), str(self.path))

    def flush(self) -> None:
        """Call fdatasync(2), which is enough because the size never changes."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

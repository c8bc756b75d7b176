"""A `MemoryDevice` is a block device in memory that fails on demand and logs its requests."""

import errno
import os
import threading


class MemoryDevice:
    """A `MemoryDevice` is a BlockDevice in memory.

    *fails* names the operations that raise EIO from now on, *fails_once* those that do so once.
    """

    def __init__(self, size: int, max_discard_bytes: int | None = None) -> None:
        self.content = bytearray(size)
        self.fails: set[str] = set()
        self.fails_once: set[str] = set()
        self.log: list[tuple[object, ...]] = []
        self.closed = 0
        self.crash_after: int | None = None
        self.pass_on = threading.Event()
        self.pass_on.set()
        self._max_discard_bytes = size if max_discard_bytes is None else max_discard_bytes

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def max_discard_bytes(self) -> int:
        return self._max_discard_bytes

    def read(self, offset: int, length: int) -> bytes:
        self._do("read", offset, length)
        return bytes(self.content[offset : offset + length])

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self._do("write", offset, len(data))
        if self.crash_after is not None:
            data = data[: self.crash_after]
            self.crash_after -= len(data)
        self.content[offset : offset + len(data)] = data

    def discard(self, offset: int, length: int) -> None:
        self._do("discard", offset, length)
        self.content[offset : offset + length] = bytes(length)

    def flush(self) -> None:
        self._do("flush")

    def close(self) -> None:
        self.closed += 1

    def _do(self, operation: str, *arguments: int) -> None:
        assert not self.closed, f"{operation} on a closed device"
        self.pass_on.wait()
        self.log.append((operation, *arguments))
        if operation in self.fails | self.fails_once:
            self.fails_once.discard(operation)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

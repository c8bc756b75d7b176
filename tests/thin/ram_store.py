"""`RamStore` is a metadata device in memory that records its writes and fails on demand."""

import errno
import os
from pathlib import Path

BLOCK = 4096


class RamStore:
    """A `RamStore` is a MetadataStore of *blocks* blocks; operations named in *fails* raise EIO."""

    def __init__(self, blocks: int = 256) -> None:
        self.blocks = blocks
        self.content: dict[int, bytes] = {}
        self.fails: set[str] = set()
        self.log: list[tuple[int, bytes] | None] | None = None
        self.flushes = 0

    def read(self, block: int) -> bytes:
        self._do("read")
        return self.content.get(block, bytes(BLOCK))

    def write(self, block: int, content: bytes) -> None:
        self._do("write")
        assert 0 <= block < self.blocks
        assert len(content) == BLOCK
        self.content[block] = content
        if self.log is not None:
            self.log.append((block, content))

    def flush(self) -> None:
        self._do("flush")
        self.flushes += 1
        if self.log is not None:
            self.log.append(None)

    def copy(self) -> "RamStore":
        other = RamStore(self.blocks)
        other.content = dict(self.content)
        return other

    def save(self, path: Path) -> Path:
        """Write the device to a file."""
        with path.open("wb") as file:
            file.truncate(self.blocks * BLOCK)
            for block, content in self.content.items():
                file.seek(block * BLOCK)
                file.write(content)
        return path

    def _do(self, operation: str) -> None:
        if operation in self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

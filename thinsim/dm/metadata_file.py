"""A pool's metadata in a file or on a device, to look at and never to change."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thinsim.errors import DeviceMapperError, InvalidValueError, KernelError
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE


class MetadataFile:
    """A MetadataStore that refuses writes (EROFS); ``OSError`` when *path* can't be opened or read."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # A block device has its size at its end alone.
        self._size = os.lseek(self._fd, 0, os.SEEK_END)

    @property
    def blocks(self) -> int:
        """See MetadataStore."""
        return self._size // METADATA_BLOCK_SIZE

    def read(self, block: int) -> bytes:
        """See MetadataStore."""
        return os.pread(self._fd, METADATA_BLOCK_SIZE, block * METADATA_BLOCK_SIZE)

    def write(self, block: int, content: bytes) -> None:
        """See MetadataStore."""
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def flush(self) -> None:
        """See MetadataStore."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


@contextmanager
def open_metadata(path: Path) -> Iterator[PoolMetadata]:
    """Open the metadata in *path*, read-only.

    InvalidValueError: it is none, or its superblock, index or features don't let it be opened.
    """
    store = MetadataFile(path)
    try:
        try:
            metadata = PoolMetadata(store, None, may_format=False)
        except DeviceMapperError as error:
            why = "it starts with zeros" if error.errno == errno.EPERM else error.args[0]
            raise InvalidValueError(f"{path} holds no pool's metadata: {why}") from error
        except KernelError as error:
            raise InvalidValueError(f"{path} holds no pool's metadata: {error.args[0]}") from error
        metadata.blocks.read_only = True
        yield metadata
    finally:
        store.close()

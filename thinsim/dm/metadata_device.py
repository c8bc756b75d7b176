"""`MetadataDevice` and `MetadataFile` store a pool's metadata in blocks of 4 KiB; the file is read-only."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from thinsim.block.interface import BlockDevice
from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.thin.metadata.errors import MetadataDamagedError, reason
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE
from thinsim.thin.metadata.superblock import MAGIC
from thinsim.thin.metadata.view import MetadataView

_MAGIC_PLACE = slice(32, 40)
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
)
# Files that users pass by mistake: the first bytes, and the advice.
_FOREIGN = (
    (b"<superblock", "it is the XML of a dump: make an image of it with thin_restore -i XML -o IMAGE"),
    (b"\x1f\x8b", "it is compressed by gzip: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: unpack it first"),
    (b"\xfd7zXZ", "it is compressed by xz: unpack it first"),
    (b"BZh", "it is compressed by bzip2: unpack it first"),
    (b"QFI\xfb", "it is a qcow2 image: convert it with qemu-img convert -O raw"),
)


class MetadataDevice:
    """A `MetadataDevice` is a MetadataStore on a block device, whose ``OSError`` it passes on."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device

    @property
    def blocks(self) -> int:
        return self._device.size // METADATA_BLOCK_SIZE

    def read(self, block: int) -> bytes:
        return self._device.read(block * METADATA_BLOCK_SIZE, METADATA_BLOCK_SIZE)

    def write(self, block: int, content: bytes) -> None:
        self._device.write(block * METADATA_BLOCK_SIZE, content)

    def flush(self) -> None:
        self._device.flush()

    def close(self) -> None:
        """Close the device; idempotent."""
        self._device.close()


class MetadataFile:
    """A `MetadataFile` is a MetadataStore that refuses writes (EROFS).

    ``OSError`` if *path* can't be opened or read. *exclusive*: EBUSY for a block device that is mounted or
    that a device-mapper device uses.
    """

    def __init__(self, path: Path, *, exclusive: bool = False) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0))
        # stat has no size for a block device.
        self._size = os.lseek(self._fd, 0, os.SEEK_END)

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return self._size

    @property
    def blocks(self) -> int:
        return self._size // METADATA_BLOCK_SIZE

    def read(self, block: int) -> bytes:
        try:
            return os.pread(self._fd, METADATA_BLOCK_SIZE, block * METADATA_BLOCK_SIZE)
        except OSError as error:
            text = f"metadata block {block} can't be read: {error.strerror}"
            raise OSError(error.errno, text) from error

    def read_run(self, block: int, count: int) -> bytes:
        """Return the bytes of *count* blocks from *block* on."""
        try:
            return os.pread(self._fd, count * METADATA_BLOCK_SIZE, block * METADATA_BLOCK_SIZE)
        except OSError as error:
            text = (
                f"metadata block {block}, or one of the {count} from it on, can't be read: {error.strerror}"
            )
            raise OSError(error.errno, text) from error

    def data_runs(self) -> Iterator[tuple[int, int]]:
        """Yield the first block of each part that is no hole, and the block after it."""
        end = 0
        while end < self.blocks:
            try:
                data = os.lseek(self._fd, end * METADATA_BLOCK_SIZE, os.SEEK_DATA)
                hole = os.lseek(self._fd, data, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:  # only holes follow
                    return
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
                data, hole = end * METADATA_BLOCK_SIZE, self._size  # the device knows no holes
            begin = max(end, data // METADATA_BLOCK_SIZE)
            end = min(self.blocks, -(-hole // METADATA_BLOCK_SIZE))
            yield begin, end

    def write(self, block: int, content: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def flush(self) -> None:
        """Do nothing: the file is never written."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


@contextmanager
def open_metadata(path: Path, *, in_use: bool = False) -> Iterator[MetadataView]:
    """Open the metadata in *path*, read-only.

    A block device that a pool or a mount uses is refused unless *in_use*: metadata that changes while it is
    read looks damaged. InvalidValueError: *path* holds no pool's metadata, or can't be opened.
    EnvironmentLacksError: no permission to read it.
    """
    store = open_store(path, in_use=in_use)
    try:
        yield metadata_view(path, store)
    finally:
        store.close()


def open_store(path: Path, *, in_use: bool = False) -> MetadataFile:
    """Open *path*, whatever its content. Raises what `open_metadata` raises; the caller closes it."""
    try:
        mode = path.stat().st_mode
        for is_it, kind in _KINDS:
            if is_it(mode):
                wanted = "a pool's metadata is in a file or on a block device"
                raise InvalidValueError(f"{path} is {kind}: {wanted}")
        return MetadataFile(path, exclusive=stat.S_ISBLK(mode) and not in_use)
    except PermissionError as error:
        raise EnvironmentLacksError(f"no permission to read {path}: run it as root") from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise InvalidValueError(
                f"{path} is in use by a pool or a mount; changing metadata looks damaged: "
                "remove the pool first, or hold a metadata snapshot (dmsetup message POOL 0 "
                "reserve_metadata_snap) and use thinsim metadata dump --snapshot"
            ) from error
        raise InvalidValueError(f"{path} can't be opened: {reason(error)}") from error


def metadata_view(path: Path, store: MetadataFile) -> MetadataView:
    """Return a view of *store*. InvalidValueError, with *path*, if it has no valid superblock."""
    try:
        content = store.read(0)
        if len(content) < METADATA_BLOCK_SIZE:
            size = f"it has {store.size} bytes, a superblock alone has {METADATA_BLOCK_SIZE}"
            why = f"metadata block 0 is beyond the device's 0 blocks: {size}"
            raise InvalidValueError(f"{path} holds no pool's metadata: {_foreign(content) or why}")
        return MetadataView(store)
    except MetadataDamagedError as error:
        magic = _magic(content)
        if magic == MAGIC:
            raise InvalidValueError(
                f"{path}: the superblock is damaged: {reason(error)}; thin_repair may find its trees"
            ) from error
        block = f"metadata block 0 is not a superblock: magic {magic}, not {MAGIC}, and a wrong checksum"
        why = _foreign(content) or block
        raise InvalidValueError(f"{path} holds no pool's metadata: {why}") from error
    except OSError as error:
        raise InvalidValueError(f"{path}: {reason(error)}") from error


def has_magic(store: MetadataFile) -> bool:
    """Return whether the first block has the magic number of a superblock, whatever its checksum."""
    return _magic(store.read(0)) == MAGIC


def _magic(content: bytes) -> int:
    return int.from_bytes(content[_MAGIC_PLACE], "little")


def _foreign(content: bytes) -> str:
    """Return a description of a first block that is no superblock; empty if it is not known."""
    for start, what in _FOREIGN:
        if content.lstrip().startswith(start):
            return what
    if content and not any(content):
        return "it starts with zeros: no pool has been made on it, or its first block was wiped"
    return ""

"""`pack` makes a small file of a pool's metadata, and `unpack` makes the metadata from it.

A pack has every block with a right checksum, even a free one: thin_repair may need it. Its format is that of
thin_metadata_pack 1.x, and each program reads the files of the other.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from thinsim.dm.metadata_device import MetadataFile, has_magic, metadata_view, open_store
from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.thin.metadata.check import Checker
from thinsim.thin.metadata.errors import reason
from thinsim.thin.metadata.pack_file import PackWriter, is_sound, read_blocks, read_header
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE
from thinsim.thin.metadata.superblock import LOCATION

_PIECE = 256
"""The number of blocks that are read at once."""
_ZEROS = bytes(METADATA_BLOCK_SIZE)


class PackResult(NamedTuple):
    """A `PackResult` counts the blocks of a pack."""

    device_blocks: int
    """The number of blocks of the metadata device."""
    packed_blocks: int
    """The number of blocks in the pack."""
    damaged_blocks: int
    """The number of blocks in the pack whose checksum is wrong."""
    pack_bytes: int
    """The size of the pack in bytes."""


def pack(path: Path, output: Path, *, with_damage: bool = False) -> PackResult:
    """Write a pack of the metadata in *path* to the new file *output*.

    With *with_damage*, the pack also has the blocks with a wrong checksum that the superblock and the trees
    refer to. InvalidValueError: *path* holds no pool's metadata, or is in use, or *output* exists.
    EnvironmentLacksError: no permission to read *path*.
    """
    store = open_store(path)
    try:
        wanted = _referenced(path, store, with_damage=with_damage)
        with _new_file(output) as file:
            writer = PackWriter(file, store.blocks)
            packed = 0
            for number, block in _superblock_last(_written_blocks(path, store)):
                if number in wanted or is_sound(block):
                    writer.add(number, block)
                    packed += 1
            if packed == writer.damaged:
                raise InvalidValueError(f"{path} holds no pool's metadata: no block has a right checksum")
            return PackResult(store.blocks, packed, writer.damaged, writer.finish())
    finally:
        store.close()


def unpack(path: Path, output: Path) -> PackResult:
    """Write the metadata of the pack in *path* to the new file *output*; blocks that it lacks are zeros.

    InvalidValueError: *path* is no pack, or is damaged or cut short, or *output* exists.
    EnvironmentLacksError: no permission to read *path*.
    """
    with _opened_pack(path) as source, _new_file(output) as file:
        try:
            header = read_header(source)
            _resize(file, output, header.blocks * METADATA_BLOCK_SIZE)
            packed = damaged = 0
            has_superblock = header.with_damage
            for number, block in read_blocks(source, header):
                os.pwrite(file.fileno(), block, number * METADATA_BLOCK_SIZE)
                packed += 1
                damaged += header.with_damage and not is_sound(block)
                has_superblock |= number == LOCATION
            if not has_superblock:
                raise InvalidValueError("it has no superblock: it is cut short, or of damaged metadata")
            return PackResult(header.blocks, packed, damaged, source.tell())
        except InvalidValueError as error:
            raise InvalidValueError(f"{path}: {error}") from error


def _referenced(path: Path, store: MetadataFile, *, with_damage: bool) -> frozenset[int]:
    """Return the blocks to pack even if their checksum is wrong. InvalidValueError without a superblock."""
    try:
        view = metadata_view(path, store)
    except InvalidValueError:
        if with_damage:
            return frozenset({LOCATION} if has_magic(store) else ())
        raise
    if not with_damage:
        return frozenset()
    checker = Checker(view)
    checker.check()
    index = view.superblock.metadata_space_map.bitmap_root
    return frozenset({index, *(block for block in range(store.blocks) if checker.references[block])})


def _superblock_last(blocks: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield *blocks* with the superblock at the end, so that a pack which is cut short has none."""
    superblock = None
    for number, block in blocks:
        if number == LOCATION:
            superblock = block
        else:
            yield number, block
    if superblock is not None:
        yield LOCATION, superblock


def _written_blocks(path: Path, store: MetadataFile) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each block that is not all zeros."""
    try:
        for begin, end in store.data_runs():
            for first in range(begin, end, _PIECE):
                content = store.read_run(first, min(_PIECE, end - first))
                for at in range(0, len(content), METADATA_BLOCK_SIZE):
                    block = content[at : at + METADATA_BLOCK_SIZE]
                    if block != _ZEROS:
                        yield first + at // METADATA_BLOCK_SIZE, block
    except OSError as error:
        raise InvalidValueError(f"{path}: {reason(error)}") from error


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Make the file *path*, and remove it if the block fails."""
    try:
        file = path.open("xb")
    except FileExistsError as error:
        raise InvalidValueError(f"{path} exists: remove it, or write to another file") from error
    try:
        with file:
            yield file
    except BaseException:
        path.unlink()
        raise


@contextmanager
def _opened_pack(path: Path) -> Iterator[BinaryIO]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidValueError(f"{path} is not a regular file")
        file = path.open("rb")
    except PermissionError as error:
        raise EnvironmentLacksError(f"no permission to read {path}: run it as root") from error
    with file:
        yield file


def _resize(file: BinaryIO, path: Path, size: int) -> None:
    try:
        file.truncate(size)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EFBIG, errno.EINVAL):
            raise
        raise InvalidValueError(f"its metadata has {size} bytes, and {path} cannot be so large") from error

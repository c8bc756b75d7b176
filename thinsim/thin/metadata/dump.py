"""`xml_lines` dumps a pool's metadata in the XML format of thin_dump and thin_restore."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from thinsim.thin.mapping import Run, join
from thinsim.thin.metadata.btree import Btree
from thinsim.thin.metadata.details import DeviceDetails
from thinsim.thin.metadata.dump_lines import (
    DEVICE_END,
    SUPERBLOCK_END,
    device_line,
    run_line,
    superblock_line,
)
from thinsim.thin.metadata.errors import MetadataDamagedError, reason
from thinsim.thin.metadata.mapping_trees import MappingTrees
from thinsim.thin.metadata.sound_entries import sound_entries
from thinsim.thin.metadata.superblock import Superblock


class Readable(Protocol):
    """A `Readable` is metadata that can be read: a `MetadataView` or the metadata of a pool."""

    @property
    def superblock(self) -> Superblock:
        """Return the superblock: a view's is that of the last commit, a pool's of the running transaction."""

    @property
    def trees(self) -> MappingTrees:
        """Return the trees below the superblock."""

    def held_superblock(self) -> Superblock:
        """Return the metadata snapshot's superblock; ENODATA when none is held, MetadataDamagedError."""


class DumpedDevice(NamedTuple):
    """A `DumpedDevice` is one thin device; *runs* reads its mappings during the iteration."""

    thin_id: int
    details: DeviceDetails
    runs: Iterator[Run]


def superblock_of(metadata: Readable, *, held: bool = False) -> Superblock:
    """Return the superblock of *metadata*, or with *held* that of the metadata snapshot.

    Raises ENODATA when no metadata snapshot is held, and MetadataDamagedError.
    """
    if not held:
        return metadata.superblock
    with _named("metadata snapshot"):
        return metadata.held_superblock()


def devices(metadata: Readable, superblock: Superblock) -> Iterator[DumpedDevice]:
    """Yield the committed devices below *superblock*, ascending by thin id.

    Both trees of devices are read before the first device is yielded. Each mapping tree is a device, as in
    thin_dump. Raises MetadataDamagedError, which names the device or tree, for unreadable metadata and for a
    device without details.
    """
    trees = metadata.trees
    with _named("details tree"):
        details = dict(_entries(trees.details, superblock.details_root))
    with _named("mapping tree"):
        roots = list(_entries(trees.top, superblock.mapping_root))
    for thin_id, root in roots:
        if thin_id not in details:
            raise MetadataDamagedError(f"thin {thin_id} has no details")
        entries = _named_entries(f"thin {thin_id}", _entries(trees.bottom, root))
        yield DumpedDevice(thin_id, DeviceDetails(*details[thin_id]), join(entries))


def xml_lines(
    metadata: Readable, *, held: bool = False, damage: Callable[[str], None] | None = None
) -> Iterator[str]:
    """Yield the lines of thin_dump 0.9, without line ends.

    Raises MetadataDamagedError, and ENODATA with *held* if no metadata snapshot is held. With *damage*, a
    device with unreadable mappings does not raise: *damage* is called with the reason, a comment marks the
    device, and the other devices follow. The last line is then left out, so the dump can't be restored.
    """
    superblock = superblock_of(metadata, held=held)
    whole = True
    yield superblock_line(
        {
            "time": superblock.time,
            "transaction": superblock.transaction_id,
            "flags": superblock.flags,
            "version": superblock.version,
            "data_block_size": superblock.data_block_size,
            "nr_data_blocks": superblock.data_space_map.nr_blocks,
        }
    )
    for thin_id, details, runs in devices(metadata, superblock):
        yield device_line(
            thin_id,
            {
                "mapped_blocks": details.mapped_blocks,
                "transaction": details.transaction_id,
                "creation_time": details.creation_time,
                "snap_time": details.snapshotted_time,
            },
        )
        try:
            yield from map(run_line, runs)
        except MetadataDamagedError as error:
            if damage is None:
                raise
            whole = False
            damage(reason(error))
            yield f"    <!-- cut short: {reason(error)} -->"
        yield DEVICE_END
    if whole:
        yield SUPERBLOCK_END


def _entries(tree: Btree, root: int) -> Iterator[tuple[int, Any]]:
    return sound_entries(tree.manager.blocks, root, tree.value_type.size)


def _named_entries(name: str, entries: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    with _named(name):
        yield from entries


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put *name*, that of the tree or device, before the text of an error."""
    try:
        yield
    except MetadataDamagedError as error:
        raise MetadataDamagedError(f"{name}: {reason(error)}", error.errno) from error
    except OSError as error:
        raise MetadataDamagedError(f"{name}: {reason(error)}", error.errno or errno.EIO) from error

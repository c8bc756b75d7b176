"""Each `Damage` changes one block of a pool that has every kind of metadata."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.thin.damage import SALTS
from tests.thin.ram_pool import RamPool, busy_pool
from tests.thin.ram_store import BLOCK, RamStore
from thinsim.thin.metadata.bitmap import MetadataIndex
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.checksum import seal
from thinsim.thin.metadata.superblock import Superblock

MetadataChange = Callable[[bytes], bytes]


def damaged_pool() -> RamPool:
    """Return a pool with internal nodes, shared subtrees, counts above two and a metadata snapshot."""
    return busy_pool(empty_devices=130)


def places(store: RamStore) -> dict[str, int]:
    """Return a block for each role: each root, and a leaf of each tree that has more than its root."""
    superblock = Superblock.decode(store.read(0), 0)
    found = {"superblock": 0}

    def walk(name: str, root: int) -> Iterator[tuple[int, int]]:
        node = Node.decode(store.read(root), root)
        found.setdefault(f"{name} root", root)
        leaves = [node]
        if not node.is_leaf:
            found.setdefault(f"{name} leaf", node.values[len(node) // 2])
            leaves = [Node.decode(store.read(child), child) for child in node.values]
        for leaf in leaves:
            yield from zip(leaf.keys, leaf.values, strict=True)

    for thin_id, root in list(walk("mapping", superblock.mapping_root)):
        if thin_id in (1, 2, 10):
            list(walk(f"thin {thin_id}", root))
    list(walk("details", superblock.details_root))
    index = dict(walk("data index", superblock.data_space_map.bitmap_root))
    found["data bitmap"] = index[0][0]  # type: ignore[index]
    list(walk("data counts", superblock.data_space_map.ref_count_root))
    place = superblock.metadata_space_map.bitmap_root
    found["metadata index"] = place
    found["metadata bitmap"] = MetadataIndex.decode(store.read(place), place).entries[0].block
    list(walk("metadata counts", superblock.metadata_space_map.ref_count_root))
    held = superblock.held_root
    found["held superblock"] = held
    copy = Superblock.decode(store.read(held), held)
    held_roots = dict(walk("held mapping", copy.mapping_root))
    list(walk("held thin 3", held_roots[3]))
    list(walk("held details", copy.details_root))
    return found


def forged(offset: int, form: str, value: int) -> MetadataChange:
    """Return a change of a field that also writes the right checksum."""

    def change(content: bytes) -> bytes:
        salt = next(salt for salt in SALTS if seal(bytearray(content), salt) == content)
        new = bytearray(content)
        struct.pack_into(form, new, offset, value)
        return seal(new, salt)

    return change


ANY_BLOCK: dict[str, MetadataChange] = {
    "zeroed": lambda content: bytes(BLOCK),
    "a flipped bit": lambda content: content[:2000] + bytes([content[2000] ^ 1]) + content[2001:],
    "another block's number": forged(8, "<Q", 77),
}
NODES: dict[str, MetadataChange] = {
    "internal and leaf": forged(4, "<I", 3),
    "too many entries": forged(16, "<I", 60000),
    "no room": forged(20, "<I", 0),
    "values of 12 bytes": forged(24, "<I", 12),
}
NO_NODES = ("superblock", "held superblock", "metadata index", "metadata bitmap", "data bitmap")


@dataclass(frozen=True, slots=True)
class Damage:
    """A `Damage` applies *change* to the block with role *place*."""

    place: str
    kind: str
    change: MetadataChange

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}"


def damages(store: RamStore) -> list[Damage]:
    """Return each damage for each place of *store*."""
    return [
        Damage(place, kind, change)
        for place in places(store)
        for kind, change in (ANY_BLOCK if place in NO_NODES else ANY_BLOCK | NODES).items()
    ]


_SPACE_MAPS = 64
_REST = _SPACE_MAPS + 2 * 128
FAR = 1 << 20


def _far(offset: int, tree: str) -> tuple[MetadataChange, str]:
    """Return a change that puts a root beyond the device, and the problem that check reports for *tree*."""
    return forged(offset, "<Q", FAR), f"{tree}: metadata block {FAR} is beyond the device"


FIELDS: dict[str, tuple[MetadataChange, str]] = {
    "magic": (forged(32, "<Q", 5), "superblock: its magic number is 5, not 27022010"),
    "version": (forged(40, "<I", 3), ""),
    "needs_check": (forged(4, "<I", 1), ""),
    "uuid": (forged(16, "<Q", 0x41414141), ""),
    "held root far": _far(56, "metadata snapshot"),
    "held root elsewhere": (
        forged(56, "<Q", 1),
        "metadata snapshot: metadata block 1 is not a valid superblock",
    ),
    "few data blocks": (forged(_SPACE_MAPS, "<Q", 10), "superblock: its data space map can't use "),
    "many data blocks": (forged(_SPACE_MAPS, "<Q", 1 << 39), "data space map: 549755813888 blocks need "),
    "impossible data blocks": (
        forged(_SPACE_MAPS, "<Q", 1 << 60),
        "superblock: its data space map can't use ",
    ),
    "data allocated": (
        forged(_SPACE_MAPS + 8, "<Q", 1 << 30),
        "superblock: its data space map can't use 1073741824 of 3000 blocks",
    ),
    "data index far": _far(_SPACE_MAPS + 16, "data space map index"),
    "data counts far": _far(_SPACE_MAPS + 24, "data reference counts"),
    "more metadata blocks": (
        forged(_SPACE_MAPS + 128, "<Q", 5000),
        "superblock: it counts 5000 metadata blocks, but the device or file is cut short: it has 512",
    ),
    "impossible metadata blocks": (
        forged(_SPACE_MAPS + 128, "<Q", 1 << 40),
        "superblock: its metadata space map can't use ",
    ),
    "metadata index far": _far(_SPACE_MAPS + 144, "metadata space map index"),
    "metadata counts far": _far(_SPACE_MAPS + 152, "metadata reference counts"),
    "mapping root far": _far(_REST, "mapping tree"),
    "mapping root is the superblock": (
        forged(_REST, "<Q", 0),
        "mapping tree: metadata block 0 is not a valid btree node",
    ),
    "details root far": _far(_REST + 8, "details tree"),
    "no block size": (forged(_REST + 16, "<I", 0), "superblock: its data block size is 0"),
    "compat_ro features": (forged(_REST + 36, "<I", 2), "superblock: it has unknown compat_ro features"),
    "incompat features": (forged(_REST + 40, "<I", 1), "superblock: it has unknown incompat features"),
}
"""The changes to fields of the superblock, with a right checksum, and the problem that check reports.

The problem is empty if check accepts the field.
"""

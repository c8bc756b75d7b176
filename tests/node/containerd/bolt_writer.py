"""`BoltWriter` writes bbolt files for tests. It reuses pages as early as bbolt does.

Each transaction writes all buckets again. So every page of a transaction is free for the next but one.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

BoltTree = dict[bytes, "bytes | BoltTree"]
"""The values and the buckets of a bucket."""

MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, META, FREELIST = 1, 2, 4, 16
HEADER = struct.Struct("=QHHI")
_Item = TypeVar("_Item")

META_FIELDS = struct.Struct("=IIIIQQQQQ")


@dataclass(frozen=True)
class BoltShape:
    """A `BoltShape` decides how buckets become pages."""

    page_size: int = 4096
    leaf_items: int = 50
    """The most items of a leaf page."""
    fan_out: int = 50
    """The most children of a branch page."""
    inline: bool = True


class BoltWriter:
    """A `BoltWriter` creates the file *path*, with an empty root bucket, as bbolt does."""

    def __init__(self, path: Path, shape: BoltShape = BoltShape()) -> None:
        self.path = path
        self.shape = shape
        self.transaction = 1
        self._file = path.open("w+b", buffering=0)
        self._high_water_mark = 4
        self._free: set[int] = set()
        self._pending = {2, 3}
        self._used: set[int] = set()
        self._unwritten: list[tuple[int, bytes]] = []
        self._root = 0
        start = b"".join(
            self.filled(page)
            for page in (
                self.meta_page(0, 3, 4, 0),
                self.meta_page(1, 3, 4, 1),
                HEADER.pack(2, FREELIST, 0, 0),
                HEADER.pack(3, LEAF, 0, 0),
            )
        )
        os.pwrite(self._file.fileno(), start, 0)

    def close(self) -> None:
        self._file.close()

    def commit(self, tree: BoltTree) -> int:
        """Write *tree* as the next transaction; return its number."""
        self.write_pages(tree)
        self.write_meta()
        return self.transaction

    def write_pages(self, tree: BoltTree) -> None:
        """Begin the next transaction and write its pages, but not yet its meta page."""
        self._free |= self._pending
        self._pending = set(self._used)
        self._used = set()
        self._root = self._tree_of(self._items(tree))
        end = self._high_water_mark * self.shape.page_size
        if os.fstat(self._file.fileno()).st_size < end:
            os.ftruncate(self._file.fileno(), end)
        for number, page in sorted(self._unwritten):
            os.pwrite(self._file.fileno(), page, number * self.shape.page_size)
        self._unwritten = []

    def write_meta(self) -> None:
        """Complete the transaction."""
        self.transaction += 1
        slot = self.transaction % 2
        page = self.meta_page(slot, self._root, self._high_water_mark, self.transaction)
        os.pwrite(self._file.fileno(), self.filled(page), slot * self.shape.page_size)

    def meta_page(self, number: int, root: int, high_water_mark: int, transaction: int) -> bytes:
        """Return a meta page, not filled up."""
        return meta_page(number, self.shape.page_size, root, high_water_mark, transaction)

    def filled(self, page: bytes) -> bytes:
        """Return *page* with zeros up to the next multiple of the page size."""
        return page + bytes(-len(page) % self.shape.page_size)

    def _items(self, tree: BoltTree) -> list[tuple[int, bytes, bytes]]:
        return [
            (0, key, value) if isinstance(value, bytes) else (1, key, self._bucket(value))
            for key, value in sorted(tree.items())
        ]

    def _bucket(self, tree: BoltTree) -> bytes:
        items = self._items(tree)
        page = leaf_page(0, items)
        small = len(page) <= self.shape.page_size // 4
        if self.shape.inline and small and not any(flags for flags, _, _ in items):
            return struct.pack("=QQ", 0, len(items)) + page
        return struct.pack("=QQ", self._tree_of(items), len(items))

    def _tree_of(self, items: list[tuple[int, bytes, bytes]]) -> int:
        """Place *items* in leaf pages below as many levels of branch pages as needed; return the root."""
        level = []
        for some in _parts(items, self.shape.leaf_items) if items else [[]]:
            level.append((some[0][1] if some else b"", self._placed(leaf_page(0, some))))
        while len(level) > 1:
            level = [
                (some[0][0], self._placed(branch_page(0, some)))
                for some in _parts(level, max(self.shape.fan_out, 2))
            ]
        return level[0][1]

    def _placed(self, page: bytes) -> int:
        """Give *page* its number and its overflow pages."""
        content = self.filled(page)
        count = len(content) // self.shape.page_size
        number = self._allocated(count)
        _, kind, items, _ = HEADER.unpack_from(content)
        header = HEADER.pack(number, kind, items, count - 1)
        self._unwritten.append((number, header + content[HEADER.size :]))
        return number

    def _allocated(self, count: int) -> int:
        for first in sorted(self._free):
            run = set(range(first, first + count))
            if run <= self._free:
                break
        else:
            first = self._high_water_mark
            self._high_water_mark += count
            run = set(range(first, first + count))
        self._free -= run
        self._used |= run
        return first


def meta_page(number: int, page_size: int, root: int, high_water_mark: int, transaction: int) -> bytes:
    """Return the header and the fields of a meta page."""
    fields = META_FIELDS.pack(
        MAGIC, VERSION, page_size, 0, root, 0, (1 << 64) - 1, high_water_mark, transaction
    )
    return HEADER.pack(number, META, 0, 0) + fields + struct.pack("=Q", fnv(fields))


def fnv(content: bytes) -> int:
    """Return the FNV-1a hash."""
    value = 14695981039346656037
    for byte in content:
        value = ((value ^ byte) * 1099511628211) % (1 << 64)
    return value


def leaf_page(number: int, items: Sequence[tuple[int, bytes, bytes]]) -> bytes:
    """Return a leaf page of items: flags, key, value."""
    table, data = b"", b""
    for index, (flags, key, value) in enumerate(items):
        distance = 16 * (len(items) - index) + len(data)
        table += struct.pack("=IIII", flags, distance, len(key), len(value))
        data += key + value
    return HEADER.pack(number, LEAF, len(items), 0) + table + data


def branch_page(number: int, children: Sequence[tuple[bytes, int]]) -> bytes:
    """Return a branch page of children: key, page."""
    table, data = b"", b""
    for index, (key, child) in enumerate(children):
        distance = 16 * (len(children) - index) + len(data)
        table += struct.pack("=IIQ", distance, len(key), child)
        data += key
    return HEADER.pack(number, BRANCH, len(children), 0) + table + data


def _parts(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def write_bolt(path: Path, *trees: BoltTree, shape: BoltShape = BoltShape()) -> Path:
    """Write a file with a transaction per tree; return *path*."""
    writer = BoltWriter(path, shape)
    for tree in trees:
        writer.commit(tree)
    writer.close()
    return path

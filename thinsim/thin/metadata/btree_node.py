"""`Node` is a btree node in memory, with its encoding on disk (dm-btree-internal.h).

Keys are 64-bit numbers in ascending order. The values of an internal node are block numbers. The values of
a leaf are the tree's: numbers of 4 or 8 bytes, or records of 16 or 24 bytes.
"""

import struct
import sys
from array import array
from itertools import pairwise
from operator import ge
from typing import Any, ClassVar

from thinsim.thin.metadata.checksum import NODE_SALT, seal, verify
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE

Values = Any
"""The value size selects the type: ``array("Q")``, ``array("I")`` or a list of tuples."""

INTERNAL, LEAF = 1, 2

_HEADER = struct.Struct("<IIQIIII")
_TYPECODES = {8: "Q", 4: "I"}
_RECORDS = {16: struct.Struct("<QII"), 24: struct.Struct("<QQII")}
_KEY_SIZE = 8


def max_entries(value_size: int) -> int:
    """Return the capacity of a node with values of *value_size* bytes; a multiple of three."""
    return (METADATA_BLOCK_SIZE - _HEADER.size) // (_KEY_SIZE + value_size) // 3 * 3


class Node:
    """A `Node` has *keys* and *values* of equal length, at most *max_entries*."""

    __slots__ = ("is_leaf", "keys", "max_entries", "value_size", "values")

    KIND: ClassVar[str] = "btree node"

    def __init__(
        self, is_leaf: bool, value_size: int, keys: "array[int]", values: Values, limit: int | None = None
    ) -> None:
        self.is_leaf = is_leaf
        self.value_size = value_size
        self.max_entries = max_entries(value_size) if limit is None else limit
        self.keys = keys
        self.values = values

    @classmethod
    def empty(cls, is_leaf: bool, value_size: int) -> "Node":
        """Return a node without entries."""
        return cls(is_leaf, value_size, array("Q"), _no_values(value_size))

    def __len__(self) -> int:
        return len(self.keys)

    def copy(self) -> "Node":
        """Return an independent copy."""
        return Node(self.is_leaf, self.value_size, self.keys[:], self.values[:], self.max_entries)

    def become(self, other: "Node") -> None:
        """Replace this node's kind and entries by a copy of those of *other*."""
        self.is_leaf, self.value_size, self.max_entries = other.is_leaf, other.value_size, other.max_entries
        self.keys, self.values = other.keys[:], other.values[:]

    def insert(self, index: int, key: int, value: Any) -> None:
        """Insert an entry before the one at *index*; MetadataDamagedError if the node is full."""
        if len(self.keys) >= self.max_entries:
            raise MetadataDamagedError("a btree node is full: an entry can't be inserted")
        self.keys.insert(index, key)
        self.values.insert(index, value)

    def delete(self, index: int) -> None:
        """Remove the entry at *index*."""
        del self.keys[index]
        del self.values[index]

    def move_from_right(self, right: "Node", count: int) -> None:
        """Move the first *count* entries of the right sibling to the end of this node."""
        self.keys += right.keys[:count]
        self.values += right.values[:count]
        del right.keys[:count]
        del right.values[:count]

    def move_to_right(self, right: "Node", count: int) -> None:
        """Move the last *count* entries to the start of the right sibling."""
        if not count:
            return
        right.keys[:0] = self.keys[-count:]
        right.values[:0] = self.values[-count:]
        del self.keys[-count:]
        del self.values[-count:]

    def encode(self, block: int) -> bytes:
        """Return the node's bytes as metadata block *block*."""
        content = bytearray(METADATA_BLOCK_SIZE)
        flags = LEAF if self.is_leaf else INTERNAL
        _HEADER.pack_into(content, 0, 0, flags, block, len(self.keys), self.max_entries, self.value_size, 0)
        _put(content, _HEADER.size, _to_bytes(self.keys))
        record = _RECORDS.get(self.value_size)
        if record is None:
            values = _to_bytes(self.values)
        else:
            values = b"".join(record.pack(*value) for value in self.values)
        _put(content, _HEADER.size + _KEY_SIZE * self.max_entries, values)
        return seal(content, NODE_SALT)

    @classmethod
    def decode(cls, content: bytes, block: int) -> "Node":
        """Return the node in *content*; MetadataDamagedError if invalid (dm-btree-spine.c, node_check)."""
        verify(content, block, NODE_SALT, cls.KIND)
        _, flags, _, count, limit, value_size, _ = _HEADER.unpack_from(content)
        if flags not in (INTERNAL, LEAF):
            raise MetadataDamagedError(f"btree node {block} is neither internal nor leaf: flags {flags}")
        if value_size not in _TYPECODES and value_size not in _RECORDS:
            raise MetadataDamagedError(f"btree node {block} has values of {value_size} bytes")
        if _HEADER.size + (_KEY_SIZE + value_size) * limit > METADATA_BLOCK_SIZE or limit % 3 or not limit:
            raise MetadataDamagedError(f"btree node {block} has an impossible maximum of {limit} entries")
        if count > limit:
            raise MetadataDamagedError(f"btree node {block} has {count} entries, {limit} at most")
        keys = _numbers("Q", content, _HEADER.size, count)
        if any(ge(*pair) for pair in pairwise(keys)):
            raise MetadataDamagedError(f"btree node {block} has keys that do not ascend")
        at = _HEADER.size + _KEY_SIZE * limit
        values: Values
        if value_size in _TYPECODES:
            values = _numbers(_TYPECODES[value_size], content, at, count)
        else:
            values = list(_RECORDS[value_size].iter_unpack(content[at : at + value_size * count]))
        return cls(flags == LEAF, value_size, keys, values, limit)


def _no_values(value_size: int) -> Values:
    return array(_TYPECODES[value_size]) if value_size in _TYPECODES else []


def _numbers(typecode: str, content: bytes, offset: int, count: int) -> "array[int]":
    numbers = array(typecode)
    numbers.frombytes(content[offset : offset + count * numbers.itemsize])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _to_bytes(numbers: "array[int]") -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _put(content: bytearray, offset: int, part: bytes) -> None:
    content[offset : offset + len(part)] = part

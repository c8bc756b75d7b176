"""`BoltPage` is a page of a bbolt file; its elements are checked before they are used.

The form is that of bbolt's internal/common/page.go: a header, a table with an element per key, and the
keys and values, which the elements find by their distance. bbolt writes the keys and values one after the
other (internal/common/inode.go, WriteInodeToPage), so an element that reaches into the one before is
damage. This also limits the work for a damaged page to its size.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from thinsim.node.containerd.errors import DatabasePlace

HEADER = struct.Struct("=QHHI")
"""The header of a page: its number, kind, count of elements, and count of overflow pages."""
HEADER_SIZE = HEADER.size
BRANCH_ELEMENT = struct.Struct("=IIQ")
"""The element of a branch page: distance, size of the key, page of the child."""
LEAF_ELEMENT = struct.Struct("=IIII")
"""The element of a leaf page: flags, distance, size of the key, size of the value."""
BUCKET = struct.Struct("=QQ")
"""The form of a bucket in its value: the page of its root, and its sequence."""
BUCKET_FLAG = 1
"""The flag of a leaf element whose value is a bucket."""

assert BRANCH_ELEMENT.size == LEAF_ELEMENT.size == HEADER_SIZE
_ELEMENT_SIZE = LEAF_ELEMENT.size


class PageKind(IntEnum):
    """A `PageKind` is the flag of a page (bbolt: BranchPageFlag and others)."""

    BRANCH = 1
    LEAF = 2
    META = 4
    FREELIST = 16


@dataclass(frozen=True, slots=True)
class BoltPage:
    """A `BoltPage` has the header's fields, and *content*: its bytes with those of its overflow pages."""

    content: memoryview
    place: DatabasePlace
    kind: PageKind
    count: int

    @classmethod
    def decode(cls, content: memoryview, place: DatabasePlace, number: int) -> "BoltPage":
        """Return the page in *content*, all of it. Raise DamagedDatabaseError unless it is page *number*.

        The page in an inline bucket has the number 0.
        """
        if len(content) < HEADER_SIZE:
            raise place.damaged(f"{len(content)} bytes are less than the header of a page")
        own, flags, count, _ = HEADER.unpack_from(content)
        if own != number:
            raise place.damaged(f"the page has number {own}")
        try:
            kind = PageKind(flags)
        except ValueError:
            raise place.damaged(f"the page has the unknown kind {flags:#x}") from None
        if HEADER_SIZE + count * _ELEMENT_SIZE > len(content):
            raise place.damaged(f"{count} elements do not fit in {len(content)} bytes")
        return cls(content, place, kind, count)

    def children(self) -> list[tuple[bytes, int]]:
        """Return the first key and the page of each child of a branch page, in order."""
        found = []
        end = self._table_end
        for index in range(self.count):
            at = HEADER_SIZE + index * _ELEMENT_SIZE
            distance, key_size, child = BRANCH_ELEMENT.unpack_from(self.content, at)
            start = self._checked(index, at + distance, end, key_size, 0)
            end = start + key_size
            found.append((bytes(self.content[start:end]), child))
        return found

    def items(self) -> Iterator[tuple[bytes, memoryview, bool]]:
        """Yield the key and the value of each element of a leaf page, and whether the value is a bucket."""
        end = self._table_end
        for index in range(self.count):
            at = HEADER_SIZE + index * _ELEMENT_SIZE
            flags, distance, key_size, value_size = LEAF_ELEMENT.unpack_from(self.content, at)
            if flags & ~BUCKET_FLAG:
                raise self.place.damaged(f"element {index} has the unknown flags {flags:#x}")
            start = self._checked(index, at + distance, end, key_size, value_size)
            middle, end = start + key_size, start + key_size + value_size
            yield bytes(self.content[start:middle]), self.content[middle:end], bool(flags & BUCKET_FLAG)

    @property
    def _table_end(self) -> int:
        return HEADER_SIZE + self.count * _ELEMENT_SIZE

    def _checked(self, index: int, start: int, free: int, key_size: int, value_size: int) -> int:
        if key_size == 0:
            raise self.place.damaged(f"element {index} has no key")
        if start < free:
            raise self.place.damaged(f"element {index} begins at byte {start}, and byte {free - 1} is in use")
        end = start + key_size + value_size
        if end > len(self.content):
            raise self.place.damaged(
                f"element {index} ends at byte {end} of a page of {len(self.content)} bytes"
            )
        return start

"""`read_database` reads all buckets of a bbolt file from a copy of one transaction.

A bucket is a tree of branch and leaf pages. The value of a key in it may be a bucket again: 16 bytes with
the page of its root and its sequence, or a root of 0 and a leaf page in the value itself (bbolt's
internal/common/bucket.go). The whole file is read at once, so a damaged page is found whatever a caller
looks for, and the buckets need no file.

Each page belongs to one tree, once. A page that is reached twice is therefore damage, and the work for a
damaged file is limited by its size.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from thinsim.node.containerd.bolt_copy import BoltCopy, Pread, copy_database
from thinsim.node.containerd.bolt_meta import FIRST_DATA_PAGE
from thinsim.node.containerd.bolt_page import BUCKET, HEADER, HEADER_SIZE, BoltPage, PageKind
from thinsim.node.containerd.bolt_unused import LeafItems, unused_leaves
from thinsim.node.containerd.errors import DatabasePlace


@dataclass(slots=True)
class BoltBucket:
    """A `BoltBucket` has the values and the buckets of its keys, both in the order of the keys."""

    sequence: int = 0
    """The last number that bbolt's NextSequence returned for this bucket."""
    values: dict[bytes, bytes] = field(default_factory=dict)
    buckets: dict[bytes, "BoltBucket"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BoltDatabase:
    """A `BoltDatabase` has the root bucket of one transaction of the file *path*."""

    path: Path
    root: BoltBucket
    transaction: int
    """The number of the transaction (bbolt: txid)."""
    passed_over: str
    """The fault of the other meta page, or empty. With a fault, a newer transaction may be lost."""
    unused: Sequence[LeafItems] = ()
    """The items of leaf pages that no bucket uses any more."""


def read_database(path: Path, pread: Pread = os.pread) -> BoltDatabase:
    """Return the buckets of the newest transaction in *path*. Change nothing, take no lock.

    Raise DamagedDatabaseError, ChangingDatabaseError, and the OSErrors of open(2). *pread* reads from the
    file.
    """
    copy = copy_database(path, pread)
    pages = _Pages(copy)
    root = _buckets_of(copy, pages)
    unused = tuple(unused_leaves(copy, pages.seen))
    return BoltDatabase(path, root, copy.meta.transaction, copy.passed_over, unused)


def _buckets_of(copy: BoltCopy, pages: "_Pages") -> BoltBucket:
    """Return the root bucket of *copy*, with all buckets in it. DamagedDatabaseError if a page is damaged."""
    root = BoltBucket(copy.meta.sequence)
    pending = [(root, pages.page(copy.meta.root, "the root bucket"))]
    while pending:
        bucket, page = pending.pop()
        for key, value, is_bucket in pages.items(page):
            if is_bucket:
                inner, inner_root = _bucket_in(value, pages, page.place.within(key))
                bucket.buckets[key] = inner
                pending.append((inner, inner_root))
            else:
                bucket.values[key] = bytes(value)
    return root


def _bucket_in(value: memoryview, pages: "_Pages", place: DatabasePlace) -> tuple[BoltBucket, BoltPage]:
    """Return the bucket whose form is *value*, still empty, and the root page of its tree."""
    if len(value) < BUCKET.size:
        raise place.damaged(f"a bucket of {len(value)} bytes")
    root, sequence = BUCKET.unpack_from(value)
    if root:
        return BoltBucket(sequence), pages.page(root, place.name)
    page = BoltPage.decode(value[BUCKET.size :], place, 0)
    if page.kind is not PageKind.LEAF:
        raise place.damaged(f"an inline bucket is a {page.kind.name.lower()} page, not a leaf page")
    return BoltBucket(sequence), page


class _Pages:
    """A `_Pages` has the pages of a copy, and returns each one once."""

    def __init__(self, copy: BoltCopy) -> None:
        self._path = copy.path
        self._size = copy.meta.page_size
        self._count = copy.meta.high_water_mark
        self._content = memoryview(copy.content)
        self.seen: set[int] = set()
        """The numbers of the pages that were returned, with their overflow pages."""

    def page(self, number: int, pointer: str) -> BoltPage:
        """Return page *number*, a branch or leaf page that *pointer* names."""
        if not FIRST_DATA_PAGE <= number < self._count:
            pages = f"{FIRST_DATA_PAGE} to {self._count - 1}"
            raise DatabasePlace(self._path, pointer).damaged(
                f"it points to page {number}, and the file's pages for data are {pages}"
            )
        start = number * self._size
        *_, overflow = HEADER.unpack_from(self._content[start : start + HEADER_SIZE])
        end = number + overflow + 1
        place = DatabasePlace(self._path, f"page {number}")
        if end > self._count:
            raise place.damaged(f"it has {overflow} overflow pages, and the last page is {self._count - 1}")
        for each in range(number, end):
            if each in self.seen:
                raise place.damaged(f"page {each} is reached a second time, from {pointer}")
            self.seen.add(each)
        page = BoltPage.decode(self._content[start : end * self._size], place, number)
        if page.kind not in (PageKind.BRANCH, PageKind.LEAF):
            raise place.damaged(
                f"it is a {page.kind.name.lower()} page, and {pointer} needs a branch or leaf page"
            )
        return page

    def items(self, root: BoltPage) -> Iterator[tuple[bytes, memoryview, bool]]:
        """Yield the items of all leaf pages below *root*, in the order of their keys."""
        last = b""
        pending = [root]
        while pending:
            page = pending.pop()
            if page.kind is PageKind.BRANCH:
                pending += [self.page(child, page.place.name) for _, child in reversed(self._children(page))]
                continue
            for key, value, is_bucket in page.items():
                if key <= last:
                    raise page.place.within(key).damaged("the key is not after the one before it")
                last = key
                yield key, value, is_bucket

    def _children(self, page: BoltPage) -> list[tuple[bytes, int]]:
        children = page.children()
        if not children:
            raise page.place.damaged("it is a branch page without elements")
        return children

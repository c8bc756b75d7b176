"""`unused_leaves` has what is left in the pages of a bbolt file that no bucket uses any more.

A transaction changes no page in place, and a page that it replaces keeps its content until it is used again
(bbolt's tx.go and freelist). So such pages show records that were removed. Nothing in them is trusted: a page
with any fault is left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from thinsim.node.containerd.bolt_copy import BoltCopy
from thinsim.node.containerd.bolt_meta import FIRST_DATA_PAGE
from thinsim.node.containerd.bolt_page import BUCKET, HEADER, BoltPage, PageKind
from thinsim.node.containerd.errors import DamagedDatabaseError, DatabasePlace

LeafItems = Sequence[tuple[bytes, memoryview, bool]]
"""Each key of a leaf page, with its value and whether the value is a bucket."""

_INLINE = DatabasePlace(Path(), "an inline bucket")


def unused_leaves(copy: BoltCopy, used: set[int]) -> Iterator[LeafItems]:
    """Yield the items of each leaf page of *copy* whose pages are not in *used*."""
    content, size = memoryview(copy.content), copy.meta.page_size
    for number in range(FIRST_DATA_PAGE, copy.meta.high_water_mark):
        *_, overflow = HEADER.unpack_from(content, number * size)
        end = number + overflow + 1
        if end > copy.meta.high_water_mark or not used.isdisjoint(range(number, end)):
            continue
        if any(_begins_page(content, each, size) for each in range(number + 1, end)):
            continue
        with suppress(DamagedDatabaseError):
            place = DatabasePlace(copy.path, f"page {number}")
            page = BoltPage.decode(content[number * size : end * size], place, number)
            if page.kind is PageKind.LEAF:
                yield list(page.items())


def inline_items(value: memoryview) -> LeafItems:
    """Return the items of the bucket whose leaf page is in its *value*; none if it has a page of its own."""
    if len(value) < BUCKET.size or BUCKET.unpack_from(value)[0]:
        return ()
    with suppress(DamagedDatabaseError):
        page = BoltPage.decode(value[BUCKET.size :], _INLINE, 0)
        if page.kind is PageKind.LEAF:
            return list(page.items())
    return ()


def values_of(items: Iterable[tuple[bytes, memoryview, bool]]) -> dict[bytes, bytes]:
    """Return the values that are no buckets, by their key."""
    return {key: bytes(value) for key, value, is_bucket in items if not is_bucket}


def _begins_page(content: memoryview, number: int, size: int) -> bool:
    """Return whether page *number* was later written as a page of its own."""
    own, *_ = HEADER.unpack_from(content, number * size)
    return bool(own == number)

"""`copy_database` copies the pages of one transaction from a bbolt file that containerd may write meanwhile.

containerd holds an exclusive lock on the file while it runs (bbolt's db.go, flock in Open), so another
bbolt would wait until containerd ends. thinsim takes no lock. This is why its copy shows one transaction
all the same:

1. Let T be the newest transaction whose meta page is sound, and R(T) the pages that its root bucket
   reaches. A transaction changes no page in place. It writes copies to pages that are free or behind the
   high water mark, then its meta page (tx.go, Commit: write, then writeMeta). It overwrites the meta page
   of the transaction before the last, so that of T stays.
2. A page that transaction T+1 replaces becomes pending, not free (freelist, Free). Pending pages become
   free when the next transaction for writing begins (db.go, beginRWTx; freelist, ReleasePendingPages).
   Registered readers delay this, but thinsim is not registered. So T+1 writes to no page of R(T), and T+2
   may write to all those that T+1 replaced.
3. T+2 begins when T+1 has released the writer's lock, after its meta page is written (tx.go, close).

Therefore R(T) is intact as long as the newest meta page is that of T. It is not enough that only T+1 is
new: T+2 may have written its pages, and not yet its meta page. So thinsim reads the meta pages, then all
pages below the high water mark, then the meta pages again, and keeps the copy only if they are the same.
Reads see all earlier writes, since both go through the page cache. A meta page that is read while it is
written has a wrong checksum. It then counts as absent: before the copy, the second look finds a newer
transaction; after the copy, that commit is not complete, and point 3 holds.

The rules are the same in bbolt 1.3.6, which Debian's containerd 1.6 has, and in bbolt's main branch of June
2026. They hold with the option ``no_sync`` of containerd 2, which changes when data is on disk, and not the
order of writes. They also hold if containerd was killed: the next transaction has the number and the free
pages of the one that was interrupted. tests/node/containerd/test_running_containerd.py reads beside a
containerd that commits hundreds of transactions per second.
"""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from thinsim.node.containerd.bolt_meta import META_END, PAGE_SIZES, BoltMeta
from thinsim.node.containerd.errors import ChangingDatabaseError, DamagedDatabaseError, DatabasePlace

TRIES = 100
_PAUSE = 0.005
_CHUNK = 1 << 20

Pread = Callable[[int, int, int], bytes]
"""Reads a number of bytes from a file at an offset, as os.pread does."""


@dataclass(frozen=True, slots=True)
class BoltCopy:
    """A `BoltCopy` has the pages of the transaction of *meta*, in *content*."""

    path: Path
    meta: BoltMeta
    content: bytes
    passed_over: str
    """The fault of the other meta page, or empty. bbolt also reads a file with one sound meta page."""


def copy_database(path: Path, pread: Pread = os.pread) -> BoltCopy:
    """Return a copy of the newest transaction in *path*. Change nothing, take no lock.

    Raise FileNotFoundError and other OSErrors of open(2), DamagedDatabaseError for a file that is not a bbolt
    database or is cut short, and ChangingDatabaseError if containerd commits during each try.
    """
    # O_NONBLOCK: without it, the open of a FIFO would wait for a writer.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise DatabasePlace(path).damaged("it is not a regular file")
        for attempt in range(TRIES):
            if attempt:
                time.sleep(_PAUSE)
            meta, passed_over = _newest_meta(fd, path, pread)
            content = _pages(fd, path, meta, pread)
            if _newest_meta(fd, path, pread)[0] == meta:
                return BoltCopy(path, meta, content, passed_over)
        raise ChangingDatabaseError(path, TRIES)
    finally:
        os.close(fd)


def newest_transaction(path: Path) -> int:
    """Return the number of the newest transaction in *path*. Errors as for `copy_database`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return _newest_meta(fd, path, os.pread)[0].transaction
    finally:
        os.close(fd)


def _newest_meta(fd: int, path: Path, pread: Pread) -> tuple[BoltMeta, str]:
    """Return the sound meta page with the highest transaction, and the fault of the other one."""
    first = pread(fd, META_END, 0)
    if not first:
        raise DatabasePlace(path).damaged("the file is empty; containerd writes it when it starts")
    try:
        meta = BoltMeta.decode(first, DatabasePlace(path, "page 0"))
    except DamagedDatabaseError as error:
        second = _second_alone(fd, path, pread)
        if second is None:
            raise
        return second, str(error)
    try:
        other = BoltMeta.decode(pread(fd, META_END, meta.page_size), DatabasePlace(path, "page 1"))
    except DamagedDatabaseError as error:
        return meta, str(error)
    return max(meta, other, key=lambda each: each.transaction), ""


def _second_alone(fd: int, path: Path, pread: Pread) -> BoltMeta | None:
    """Return the meta page that begins at its own page size, since the first page cannot name the size."""
    for size in PAGE_SIZES:
        try:
            meta = BoltMeta.decode(pread(fd, META_END, size), DatabasePlace(path, "page 1"))
        except DamagedDatabaseError:
            continue
        if meta.page_size == size:
            return meta
    return None


def _pages(fd: int, path: Path, meta: BoltMeta, pread: Pread) -> bytes:
    size = os.fstat(fd).st_size
    if size < meta.size:
        pages = f"{meta.high_water_mark} pages of {meta.page_size} bytes"
        raise DatabasePlace(path).damaged(f"the file is cut short: it has {size} bytes, not {pages}")
    pieces, at = [], 0
    while at < meta.size:
        piece = pread(fd, min(_CHUNK, meta.size - at), at)
        if not piece:
            raise DatabasePlace(path).damaged(f"the file was cut to {at} bytes while it was read")
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)

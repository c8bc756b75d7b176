"""Directed histories do what random histories seldom or never do."""

import random
from collections.abc import Callable

from thinsim.conformance.histories.history import (
    Discard,
    Dmsetup,
    Flush,
    Grow,
    History,
    Look,
    Operations,
    Read,
    Write,
)
from thinsim.conformance.histories.refused_tables import POOL_TABLES, THIN_TABLES

_BLOCK = 128
_BYTES = _BLOCK * 512
_THIN = 16384


def _dm(*words: str) -> Dmsetup:
    return Dmsetup(words)


def _pool_table(blocks: int, rest: str = "0 1 skip_block_zeroing", data: str = "{data}") -> str:
    return f"0 {blocks * _BLOCK} thin-pool {{metadata}} {data} {_BLOCK} {rest}"


def _create_pool(blocks: int, rest: str = "0 1 skip_block_zeroing") -> Dmsetup:
    return _dm("create", "{pool}", "--table", _pool_table(blocks, rest))


def _swap_pool(blocks: int, rest: str = "0 1 skip_block_zeroing") -> Operations:
    yield _dm("load", "{pool}", "--table", _pool_table(blocks, rest))
    yield _dm("suspend", "{pool}")
    yield _dm("resume", "{pool}")


def _message(text: str) -> Dmsetup:
    return _dm("message", "{pool}", "0", text)


def _activate(thin: int, length: int = _THIN, origin: str = "") -> Dmsetup:
    table = f"0 {length} thin /dev/mapper/{{pool}} {thin}{origin and f' {origin}'}"
    return _dm("create", f"{{t{thin}}}", "--table", table)


def _snap(thin: int, origin: int) -> Operations:
    yield _dm("suspend", f"{{t{origin}}}")
    yield _message(f"create_snap {thin} {origin}")
    yield _dm("resume", f"{{t{origin}}}")


def _blocks(thin: int, first: int, count: int, tag: int = 1) -> Operations:
    for block in range(first, first + count):
        yield Write(f"t{thin}", block * _BYTES, _BYTES, tag * 1000 + block)


def _waits_for_space() -> Operations:
    """Write to a full pool, which holds the write until it has grown."""
    yield _create_pool(16, "4 0")
    yield _message("create_thin 1")
    yield _activate(1)
    yield from _blocks(1, 0, 16)
    yield Write("t1", 0, 4096, 7)
    yield Write("t1", 40 * _BYTES, 4096, 8)
    yield Discard("t1", 4 * _BYTES, 2 * _BYTES)
    yield _message("create_snap 2 1")
    yield Grow("data", 24 * _BYTES >> 10)
    yield from _swap_pool(24, "4 0")
    yield Look()
    yield Write("t1", 41 * _BYTES, 4096, 9)
    yield Look()


def _fails_for_space_and_recovers() -> Operations:
    """Fill a pool with error_if_no_space; make room by a discard, a deletion and growth."""
    rest = "2 1 error_if_no_space"
    yield _create_pool(12, rest)
    for thin in (1, 2):
        yield _message(f"create_thin {thin}")
        yield _activate(thin)
    yield from _blocks(1, 0, 8)
    yield from _blocks(2, 0, 6)
    yield Look()
    yield Write("t2", 60 * _BYTES, 4096, 1)
    yield Discard("t1", 0, 2 * _BYTES)
    yield from _blocks(2, 20, 3)
    yield Look()
    yield _dm("remove", "{t2}")
    yield _message("delete 2")
    yield from _blocks(1, 30, 3)
    yield Grow("data", 20 * _BYTES >> 10)
    yield from _swap_pool(20, rest)
    yield from _blocks(1, 40, 12)
    yield Look()


def _full_metadata(kib: int) -> Callable[[], Operations]:
    def operations() -> Operations:
        """Create thin ids until the metadata is full, then grow the metadata device."""
        yield _create_pool(64, "0 0")
        for thin in range(1, 14):
            yield _message(f"create_thin {thin}")
            if thin % 3 == 1:
                yield _activate(thin)
                yield from _blocks(thin, thin, 2, thin)
        yield Look()
        for thin in (2, 3):
            yield _message(f"delete {thin}")
        yield _message("create_snap 20 1")
        yield from _blocks(1, 30, 2, 9)
        yield Grow("metadata", kib * 4)
        yield from _swap_pool(64, "0 0")
        yield _message("create_thin 21")
        yield from _blocks(1, 50, 2, 10)
        yield Look()

    return operations


def _read_only() -> Operations:
    """Use a pool with a read_only table."""
    yield _create_pool(64, "0 1 read_only")
    yield _create_pool(64)
    yield _message("create_thin 1")
    yield _activate(1)
    yield from _blocks(1, 0, 3)
    yield from _snap(2, 1)
    yield _dm("remove", "{t1}")
    yield _dm("remove", "{pool}")
    yield _create_pool(64, "0 2 read_only skip_block_zeroing")
    yield _activate(1)
    yield _activate(2)
    yield Look()
    yield Read("t1", 0, 1 << 20)
    yield Write("t1", 0, 4096, 1)
    yield Write("t2", 9 * _BYTES, 4096, 1)
    yield Discard("t1", 0, _BYTES)
    yield _message("create_thin 3")
    yield _message("delete 2")
    yield _message("set_transaction_id 0 1")
    yield _message("reserve_metadata_snap")
    yield from _swap_pool(64)
    yield Write("t2", 0, 4096, 2)
    yield _message("create_thin 3")
    yield Look()


def _tables() -> Operations:
    """Load tables that the kernel refuses, and some that it accepts although they look wrong."""
    for table in POOL_TABLES:
        yield _dm("create", "{pool}", "--table", table)
        yield _dm("remove", "{pool}")
    yield _create_pool(64)
    yield _message("create_thin 1")
    yield _message("create_thin 2")
    for table in THIN_TABLES:
        yield _dm("create", "{t1}", "--table", table)
        yield Look()
        yield _dm("remove", "{t1}")


def _reloads() -> Operations:
    """Load other tables into a live pool and a live thin device."""
    yield _create_pool(48)
    yield _message("create_thin 1")
    yield _activate(1)
    yield from _blocks(1, 0, 4)
    for table in (
        _pool_table(48, "0 1 ignore_discard"),
        _pool_table(32),
        _pool_table(4096),
        "0 6144 thin-pool {metadata} {data} 256 0",
        "0 6144 thin-pool {other} {data} 128 0",
        "0 6144 thin-pool {metadata} {other} 128 0",
        "0 6144 linear {other} 0",
        "0 6144 zero",
        _pool_table(48, "16 2 error_if_no_space no_discard_passdown"),
    ):
        yield _dm("load", "{pool}", "--table", table)
        yield _dm("info", "-c", "--noheadings", "-o", "attr", "{pool}")
        yield _dm("suspend", "{pool}")
        yield _dm("resume", "{pool}")
        yield Look()
        yield _dm("clear", "{pool}")
        yield _dm("resume", "{pool}")
        yield Discard("t1", 0, _BYTES)
        yield from _blocks(1, 0, 1)
    for length in (32768, 8192, 100):
        yield _dm("load", "{t1}", "--table", f"0 {length} thin /dev/mapper/{{pool}} 1")
        yield _dm("suspend", "{t1}")
        yield _dm("resume", "{t1}")
        yield Write("t1", 6 << 20, 4096, length)
        yield Look()


def _external_origin() -> Operations:
    """Use a thin device above an external origin that is read-only and shorter than the device."""
    yield _create_pool(256, "0 0")
    yield _dm("create", "{origin}", "--table", "0 8292 linear {other} 2048")
    for at in range(0, 4 << 20, 1 << 20):
        yield Write("origin", at, 1 << 18, 77 + at)
    yield _message("create_thin 1")
    yield _activate(1, origin="/dev/mapper/{origin}")
    yield Look()
    yield Read("t1", 0, 1 << 20)
    yield Read("t1", (4 << 20) - 65536, 1 << 18)
    yield Write("t1", 3 * _BYTES + 4096, 4096, 5)
    yield Write("t1", 5 * _BYTES, _BYTES, 6)
    yield Write("t1", 64 * _BYTES, 4096, 7)
    yield Write("t1", 64 * _BYTES + 53248, 8192, 8)
    yield Write("t1", 70 * _BYTES, 4096, 9)
    yield Look()
    yield from _snap(2, 1)
    yield _activate(2, origin="/dev/mapper/{origin}")
    yield Write("t2", 3 * _BYTES, 4096, 10)
    yield Write("t1", 9 * _BYTES, 4096, 11)
    yield Discard("t1", 3 * _BYTES, 4 * _BYTES)
    yield Read("t1", 3 * _BYTES, 4 * _BYTES)
    yield Look()
    yield _dm("remove", "{t2}")
    yield _activate(2)
    yield Look()


def _while_suspended() -> Operations:
    """Send messages and commands while the pool or a thin device is suspended."""
    yield _create_pool(64)
    for thin in (1, 2, 3):
        yield _message(f"create_thin {thin}")
        yield _activate(thin)
        yield from _blocks(thin, 0, 3, thin)
    for device in ("{pool}", "{t1}"):
        yield _dm("suspend", device)
        yield _dm("suspend", device)
        yield Look()
        yield _message("create_thin 9")
        yield _message("create_snap 10 2")
        yield _message("create_snap 11 1")
        yield _message("set_transaction_id 0 1")
        yield _message("delete 9")
        yield _activate(10)
        yield Write("t1", 0, 4096, 1)
        yield _dm("load", "{t1}", "--table", f"0 {_THIN * 2} thin /dev/mapper/{{pool}} 1")
        yield _dm("resume", device)
        yield _dm("resume", device)
        yield Look()
        yield _dm("remove", "{t10}")
        yield _message("delete 10")
        yield _message("delete 11")
    yield from _blocks(1, 0, 5, 4)
    yield Look()


def _names() -> Operations:
    """Rename devices, create them twice, remove them while in use and after that."""
    yield _create_pool(64)
    yield _message("create_thin 1")
    yield _activate(1)
    yield _activate(1)
    yield _dm("create", "{twice}", "--table", f"0 {_THIN} thin /dev/mapper/{{pool}} 1")
    yield _dm("create", "{above}", "--table", "0 8192 linear /dev/mapper/{t1} 128")
    yield Write("above", 0, 65536, 3)
    yield Discard("above", 65536, 65536)
    yield Read("t1", 0, 1 << 18)
    yield _dm("remove", "{t1}")
    yield _dm("remove", "{pool}")
    yield _message("delete 1")
    yield _dm("rename", "{above}", "{t1}")
    yield _dm("rename", "{above}", "{over}")
    yield _dm("rename", "{above}", "{again}")
    yield Read("over", 0, 65536)
    yield Look()
    yield _dm("remove", "{over}")
    yield _dm("remove", "{t1}")
    yield _message("delete 1")
    yield Look()
    yield _dm("remove", "{pool}")
    yield _message("delete 1")


def _held_metadata() -> Operations:
    """Hold a metadata snapshot while the pool continues to change."""
    yield _create_pool(128)
    yield _message("create_thin 1")
    yield _activate(1)
    yield from _blocks(1, 0, 10)
    yield _message("reserve_metadata_snap")
    yield _message("reserve_metadata_snap")
    yield from _snap(2, 1)
    yield _activate(2)
    yield from _blocks(2, 0, 6, 3)
    yield Discard("t1", 0, 5 * _BYTES)
    yield Look()
    yield _dm("remove", "{t2}")
    yield _message("delete 2")
    yield _dm("remove", "{t1}")
    yield _message("delete 1")
    yield Look()
    yield _message("release_metadata_snap")
    yield _message("release_metadata_snap")
    yield Look()


def _pool_comes_back() -> Operations:
    """Remove all devices and create them again, with blocks shared in every way."""
    choose = random.Random("thinsim: a pool that comes back")
    yield _create_pool(200)
    yield _message("create_thin 1")
    yield _activate(1)
    yield from _blocks(1, 0, 20)
    active = [1]
    for thin in range(2, 7):
        origin = choose.choice(active)
        yield from _snap(thin, origin)
        yield _activate(thin)
        active.append(thin)
        yield from _blocks(thin, choose.randrange(20), 4, thin)
        yield Discard(f"t{origin}", choose.randrange(16) * _BYTES, 3 * _BYTES)
        if thin % 2:
            for each in active:
                yield _dm("remove", f"{{t{each}}}")
            yield _dm("remove", "{pool}")
            yield _create_pool(200)
            for each in active:
                yield _activate(each)
            yield Look()
    yield Flush("t1")
    yield Look()


def _failing_data() -> Operations:
    """Send every kind of request to a data device that fails, as a whole or in part, and then works."""
    good = "0 16384 linear {data} 0"
    yield _dm("create", "{disk}", "--table", good)
    yield _dm("create", "{pool}", "--table", _pool_table(128, "0 0", "/dev/mapper/{disk}"))
    yield _message("create_thin 1")
    yield _activate(1)
    yield from _blocks(1, 0, 6)
    yield from _snap(2, 1)
    yield _activate(2)
    for bad in ("0 16384 error", "0 512 linear {data} 0\n512 256 error\n768 15616 linear {data} 768"):
        for table in (bad, good):
            yield _dm("load", "{disk}", "--table", table)
            yield _dm("suspend", "{disk}")
            yield _dm("resume", "{disk}")
            yield Read("t1", 0, 6 * _BYTES)
            yield Write("t1", 0, 4096, 1)
            yield Write("t2", 4 * _BYTES, 4096, 2)
            yield Write("t2", 5 * _BYTES, _BYTES, 3)
            yield Write("t1", 20 * _BYTES, 4096, 4)
            yield Write("t1", 21 * _BYTES, 4 * _BYTES, 5)
            yield Discard("t1", 2 * _BYTES, _BYTES)
            yield Flush("t1")
            yield _message("create_snap 3 1")
            yield _message("delete 3")
            yield Look()


_HISTORIES: dict[str, tuple[int, int, Callable[[], Operations]]] = {
    "waits-for-space": (16 * 64, 4096, _waits_for_space),
    "fails-for-space": (12 * 64, 4096, _fails_for_space_and_recovers),
    "full-metadata-48": (64 * 64, 48, _full_metadata(48)),
    "full-metadata-64": (64 * 64, 64, _full_metadata(64)),
    "full-metadata-80": (64 * 64, 80, _full_metadata(80)),
    "small-metadata-40": (64 * 64, 40, _full_metadata(40)),
    "read-only": (64 * 64, 4096, _read_only),
    "tables": (4096, 4096, _tables),
    "reloads": (48 * 64, 4096, _reloads),
    "external-origin": (256 * 64, 4096, _external_origin),
    "while-suspended": (64 * 64, 4096, _while_suspended),
    "names": (64 * 64, 4096, _names),
    "held-metadata": (128 * 64, 4096, _held_metadata),
    "pool-comes-back": (200 * 64, 4096, _pool_comes_back),
    "failing-data": (8192, 4096, _failing_data),
}
"""By name: KiB of data, KiB of metadata, operations."""


def directed_histories() -> list[History]:
    """Return all directed histories."""
    return [
        History(name, data_kib, metadata_kib, tuple(operations()), ("directed",))
        for name, (data_kib, metadata_kib, operations) in _HISTORIES.items()
    ]

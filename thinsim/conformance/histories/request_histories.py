"""Each of these histories sends every request of the block layer to devices of one kind."""

from collections.abc import Callable, Iterable

from thinsim.conformance.histories.history import (
    BlockRequest,
    Discard,
    Dmsetup,
    History,
    HistoryOperation,
    Look,
    Operations,
    Program,
    QueueLimits,
    Read,
    Write,
)
from thinsim.conformance.requests.kinds import KINDS
from thinsim.conformance.requests.programs import PROGRAMS

TRAIT = "requests of the block layer"
PROGRAM_TRAIT = "programs that discard and zero"

_BYTES = 64 << 10
_BLOCKS = 8
_FILLED = _BLOCKS * _BYTES
_THIN = 2048
_SIZE = _THIN * 512
_POOL_BLOCKS = 64

SECTOR_RANGE = "one sector"
UNUSUAL_RANGES = ("off sector boundaries", "past the end of the device")
RANGES = {
    "part of a data block": (4096, 8192),
    "one data block": (_BYTES, _BYTES),
    "two data blocks and parts of their neighbours": (_BYTES - 4096, 2 * _BYTES + 12288),
    SECTOR_RANGE: (2 * _BYTES + 1024, 512),
    UNUSUAL_RANGES[0]: (100, 300),
    "up to the end of the device": (_SIZE - 8192, 8192),
    UNUSUAL_RANGES[1]: (_SIZE - 4096, 8192),
}
"""Offset and length in bytes, by name."""

_ZEROING = tuple(name for name, kind in KINDS.items() if kind.zeroes or name == "BLKDISCARD")


def _dm(*words: str) -> Dmsetup:
    return Dmsetup(words)


def _pool(rest: str = "0 1 skip_block_zeroing", blocks: int = _POOL_BLOCKS) -> Operations:
    yield _dm("create", "{pool}", "--table", f"0 {blocks * 128} thin-pool {{metadata}} {{data}} 128 {rest}")


def _thin(thin: int, origin: str = "", sectors: int = _THIN, *words: str) -> Operations:
    table = f"0 {sectors} thin /dev/mapper/{{pool}} {thin}{origin and f' {origin}'}"
    yield _dm("create", f"{{t{thin}}}", *words, "--table", table)


def _new_thin(thin: int, origin: str = "", sectors: int = _THIN) -> Operations:
    yield _dm("message", "{pool}", "0", f"create_thin {thin}")
    yield from _thin(thin, origin, sectors)


def _asked(device: str, kinds: Iterable[str], *before: HistoryOperation) -> Operations:
    """Send every kind of request to every range, each after *before*, and read the whole device."""
    yield QueueLimits(device)
    for tag, kind in enumerate(kinds, 1):
        for offset, length in RANGES.values():
            yield from before
            yield BlockRequest(device, kind, offset, length, tag)
            yield Read(device, 0, _SIZE)
    yield QueueLimits(device)
    yield Look()


def _mapped() -> Operations:
    """Send every kind to mapped blocks."""
    yield from _pool()
    yield from _new_thin(1)
    yield from _asked("t1", KINDS, Write("t1", 0, _FILLED, 7))


def _unmapped() -> Operations:
    """Send requests to unmapped blocks: some provision, others do not."""
    yield from _pool("0 0")
    yield from _new_thin(1)
    yield from _asked("t1", _ZEROING, Discard("t1", 0, _SIZE))


def _shared() -> Operations:
    """Send requests to blocks that a snapshot shares; the snapshot's content must not change."""
    yield from _pool()
    yield from _new_thin(1)
    for kind in _ZEROING:
        yield from _asked(
            "t1",
            [kind],
            Write("t1", 0, _FILLED, 7),
            _dm("message", "{pool}", "0", "delete 2"),
            _dm("message", "{pool}", "0", "create_snap 2 1"),
        )
        yield from _thin(2)
        yield Read("t2", 0, _SIZE)
        yield _dm("remove", "{t2}")


def _above_an_origin() -> Operations:
    """Send requests above an external origin, whose content appears in unmapped blocks."""
    yield from _pool()
    yield _dm("create", "{origin}", "--table", f"0 {_THIN} linear {{other}} 0")
    yield Write("origin", 0, _SIZE, 9)
    yield from _new_thin(1, "/dev/mapper/{origin}")
    yield from _asked("t1", _ZEROING, Discard("t1", 0, _SIZE), Write("t1", 0, _FILLED // 2, 7))


def _refused() -> Operations:
    """Send requests that fail: ignored discards, a full pool, read-only devices and pools."""
    yield from _pool("0 1 ignore_discard")
    yield from _new_thin(1)
    yield from _asked("t1", _ZEROING, Write("t1", 0, _FILLED, 7))
    yield from (_dm("remove", "{t1}"), _dm("remove", "{pool}"))
    yield from _pool("0 2 skip_block_zeroing error_if_no_space")
    yield from _new_thin(2)
    yield from _new_thin(3, "", _POOL_BLOCKS * 128)
    yield Write("t3", 0, (_POOL_BLOCKS - 6) * _BYTES, 6)
    yield from _asked("t2", _ZEROING, Discard("t2", 0, _SIZE), Write("t2", 0, _FILLED // 2, 8))
    yield from (_dm("remove", "{t2}"), _dm("remove", "{t3}"))
    yield from _thin(2, "", _THIN, "--readonly")
    yield from _asked("t2", _ZEROING)
    yield from (_dm("remove", "{t2}"), _dm("remove", "{pool}"))
    yield from _pool("0 2 read_only skip_block_zeroing")
    yield from _thin(2)
    yield from _asked("t2", _ZEROING)


def _other_targets() -> Operations:
    """Send requests to the targets below and above thin devices, and to the pool itself."""
    half = _THIN // 2
    tables = {
        "lower": f"0 {_THIN} linear {{other}} 0",
        "stripes": f"0 {_THIN} striped 2 128 {{other}} 4096 {{other}} 8192",
        "zeros": f"0 {_THIN} zero",
        "errors": f"0 {_THIN} error",
        "both": f"0 {half} linear {{other}} 0\n{half} {half} zero",
    }
    for name, table in tables.items():
        yield _dm("create", f"{{{name}}}", "--table", table)
        yield from _filled_and_read(name)
    yield from _pool()
    yield from _filled_and_read("pool")
    yield from _new_thin(1)
    yield _dm("create", "{upper}", "--table", f"0 {_THIN} linear /dev/mapper/{{t1}} 0")
    yield from _filled_and_read("upper")
    yield _dm("load", "{lower}", "--table", f"0 {_THIN} linear /dev/mapper/{{t1}} 0")
    yield _dm("suspend", "{lower}")
    yield _dm("resume", "{lower}")
    yield from _filled_and_read("lower")
    yield _dm("load", "{lower}", "--table", tables["lower"])
    yield _dm("suspend", "{lower}")
    yield _dm("resume", "{lower}")
    yield from _filled_and_read("lower")


def _filled_and_read(device: str) -> Operations:
    yield QueueLimits(device)
    for tag, kind in enumerate((*_ZEROING, "BLKSECDISCARD"), 1):
        for offset, length in RANGES.values():
            yield Write(device, 0, _FILLED, 7)
            yield BlockRequest(device, kind, offset, length, tag)
            yield Read(device, 0, _SIZE)


def _tables() -> Operations:
    """Load tables that cut a logical block in two, and some that only seem to."""
    yield from _pool()
    yield _dm("message", "{pool}", "0", "create_thin 1")
    for table in (
        "0 2044 thin /dev/mapper/{pool} 1",
        "0 2052 linear {other} 0",
        "0 2048 linear {other} 4",
        "0 2044 zero",
        "0 1028 zero\n1028 1020 linear {other} 0",
        "0 1028 linear {other} 0\n1028 1020 zero",
        "0 1024 linear {other} 0\n1024 1020 zero",
        "0 4 zero\n4 4 zero\n8 2040 linear {other} 0",
        "0 2048 striped 2 4 {other} 0 {other} 4096",
        "0 2048 striped 2 8 {other} 2 {other} 4096",
    ):
        yield _dm("create", "{t}", "--table", table)
        yield QueueLimits("t")
        yield Read("t", 0, _SIZE)
        yield _dm("remove", "{t}")


def _programs() -> Operations:
    """Run each program on a thin device of its own, full of old data."""
    yield from _pool("0 0", blocks=16384)
    for thin, name in enumerate(PROGRAMS, 1):
        yield from _new_thin(thin, "", 1 << 20)
        yield Program(name, f"t{thin}")
        yield _dm("remove", f"{{t{thin}}}")
        yield _dm("message", "{pool}", "0", f"delete {thin}")


_HISTORIES: dict[str, tuple[int, str, Callable[[], Operations]]] = {
    "mapped": (_POOL_BLOCKS, TRAIT, _mapped),
    "unmapped": (_POOL_BLOCKS, TRAIT, _unmapped),
    "shared": (_POOL_BLOCKS, TRAIT, _shared),
    "above-an-origin": (_POOL_BLOCKS, TRAIT, _above_an_origin),
    "refused": (_POOL_BLOCKS, TRAIT, _refused),
    "other-targets": (_POOL_BLOCKS, TRAIT, _other_targets),
    "tables": (_POOL_BLOCKS, TRAIT, _tables),
    "programs": (16384, PROGRAM_TRAIT, _programs),
}
"""By name: data blocks of the pool, trait, operations."""


PHASES: dict[str, tuple[str, ...]] = {
    "mapped": ("mapped blocks",),
    "unmapped": ("unmapped blocks",),
    "shared": ("shared blocks",),
    "above-an-origin": ("above an external origin",),
    "refused": ("ignore_discard", "no space left", "read-only device", "read-only pool"),
    "other-targets": (
        "linear",
        "striped",
        "zero",
        "error",
        "linear and zero",
        "the pool itself",
        "linear on thin",
        "linear, reloaded onto thin",
        "linear, reloaded again",
    ),
}
"""The devices to which each history sends its requests, one after the other."""


def request_histories() -> list[History]:
    """Return all histories of requests, each at logical blocks of 512 and of 4096 bytes."""
    return [
        History(
            f"requests-{name}-{logical}",
            blocks * _BYTES >> 10,
            4096,
            tuple(operations()),
            (trait, f"logical blocks of {logical} bytes"),
            logical,
        )
        for name, (blocks, trait, operations) in _HISTORIES.items()
        for logical in (512, 4096)
    ]

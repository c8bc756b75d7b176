"""`cases` yields discards of a thin device; a `DiscardAnswer` counts the result at each height below.

Pure.

A case is a discard of some bytes on a thin device of a new pool. Its state defines the mapping of the blocks.
An answer counts the requests at the thin device and at the pool's data device (the kernel's counters) and at
the store (its ledger), and the blocks and bytes that the pool and the host freed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from itertools import product
from typing import Any

from thinsim.did_you_mean import unknown_name
from thinsim.errors import InvalidValueError

FORMAT = 1
BLOCK = 64 << 10
"""The size of the pool's data blocks, bytes."""

DEVICE = 160 << 20
"""The size of the thin device, bytes."""

_OFFSET = 16 << 20
_SHIFT = 4096


class BlockState(StrEnum):
    """A `BlockState` defines the mapping of the blocks that a discard touches."""

    FULL = "full"
    SPARSE = "sparse"
    SHARED = "shared"


STATES = {
    BlockState.FULL: "every block mapped",
    BlockState.SPARSE: "one block in sixteen mapped",
    BlockState.SHARED: "every block mapped, and shared with a snapshot",
}
SPARSE_STEP = 16
"""One block of this many is mapped in the sparse state."""

_LENGTHS = {"4K": 4 << 10, "64K": 64 << 10, "1M": 1 << 20, "128M": 128 << 20}
_WHOLE = "all"


@dataclass(frozen=True, slots=True)
class DiscardCase:
    """A `DiscardCase` discards *length* bytes at *offset*; *size* is the length as a word."""

    state: BlockState
    size: str
    offset: int
    length: int

    @property
    def aligned(self) -> bool:
        """Return whether the discard begins on a block boundary."""
        return self.offset % BLOCK == 0

    @property
    def name(self) -> str:
        """Return the name of the case, its state and size in one line."""
        return f"{self.state}, {self.size}{'' if self.aligned else ' + 4K'}"

    def blocks(self) -> range:
        """Return the blocks that the discard touches, including those at its ends."""
        return range(self.offset // BLOCK, -(-(self.offset + self.length) // BLOCK))


def cases() -> Iterator[DiscardCase]:
    """Yield each state with each size, first from a block boundary, then from 4 KiB after one."""
    for state, aligned in product(BlockState, (True, False)):
        shift = 0 if aligned else _SHIFT
        for size, length in _LENGTHS.items():
            yield DiscardCase(state, size, _OFFSET + shift, length)
        yield DiscardCase(state, _WHOLE, shift, DEVICE - 2 * shift)


@dataclass(frozen=True, slots=True)
class DiscardCount:
    """A `DiscardCount` counts requests and their bytes."""

    count: int
    """The number of requests."""
    bytes: int
    """Their bytes, all together."""


@dataclass(frozen=True, slots=True)
class DiscardAnswer:
    """A `DiscardAnswer` is the result of a case; *unmapped* and *freed* in blocks, *host* in bytes."""

    thin: DiscardCount
    """Discards at the thin device."""
    unmapped: int
    """Blocks that the thin device no longer maps."""
    freed: int
    """Blocks that the pool freed."""
    data: DiscardCount
    """Discards at the pool's data device."""
    store: DiscardCount
    """Hole punches at the store."""
    host: int
    """Bytes that the host freed."""


@dataclass(frozen=True, slots=True)
class MeasuredHeights:
    """`MeasuredHeights` are the answers of one *source*, by the names of the cases."""

    source: str
    answers: dict[str, DiscardAnswer]


@dataclass(frozen=True, slots=True)
class Unlike:
    """An `Unlike` is one field of one case in which two sources differ."""

    case: str
    field: str
    expected: str
    found: str

    @property
    def in_count_alone(self) -> bool:
        """Return whether only the number of requests differs, not their bytes."""
        return self.expected.partition(", ")[2] == self.found.partition(", ")[2] != ""


def compare_heights(expected: MeasuredHeights, found: MeasuredHeights) -> list[Unlike]:
    """Return the differences in the cases that both have, in the order of the cases."""
    unlike = []
    for case in cases():
        theirs, ours = expected.answers.get(case.name), found.answers.get(case.name)
        if theirs is None or ours is None:
            continue
        for field in fields(DiscardAnswer):
            texts = in_words(getattr(theirs, field.name)), in_words(getattr(ours, field.name))
            if texts[0] != texts[1]:
                unlike.append(Unlike(case.name, field.name, *texts))
    return unlike


def in_words(value: DiscardCount | int) -> str:
    """Return a field as text."""
    return f"{value.count} requests, {value.bytes} bytes" if isinstance(value, DiscardCount) else str(value)


def to_json(measured: MeasuredHeights) -> dict[str, Any]:
    """Return the JSON document of a recording."""
    answers = {name: asdict(answer) for name, answer in measured.answers.items()}
    return {"format": FORMAT, "source": measured.source, "answers": answers}


def from_json(document: Any) -> MeasuredHeights:
    """Read a document that ``to_json`` returned; InvalidValueError for any other."""
    try:
        if document["format"] != FORMAT:
            raise InvalidValueError(f"the heights have format {document['format']}, not {FORMAT}")
        answers = {name: _answer(answer) for name, answer in document["answers"].items()}
        return MeasuredHeights(document["source"], answers)
    except (KeyError, TypeError) as error:
        raise InvalidValueError(f"not a recording of heights: {error!r}") from None


def _answer(document: dict[str, Any]) -> DiscardAnswer:
    requests = {name: DiscardCount(**document[name]) for name in ("thin", "data", "store")}
    return DiscardAnswer(**{**document, **requests})


def chosen(only: Sequence[str]) -> list[DiscardCase]:
    """Return the cases named in *only*, or all if it is empty; InvalidValueError for an unknown name."""
    known = {case.name: case for case in cases()}
    for name in only:
        if name not in known:
            raise InvalidValueError(unknown_name("case", name, known))
    return [case for name, case in known.items() if not only or name in only]

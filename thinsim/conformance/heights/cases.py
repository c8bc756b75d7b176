"""Lists the cases of one discard of a thin device, and what it becomes at each height below.

Pure.

A case is a discard of so many bytes on a thin device of a fresh pool, whose blocks there are mapped as its
state says. An answer is the requests that came of it at the thin device, at the pool's data device (the
kernel's counters of both) and at the store (its ledger), and what the pool and the host had of it.
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
"""The pool's data block, bytes."""

DEVICE = 160 << 20
"""The thin device, bytes."""

_OFFSET = 16 << 20
_SHIFT = 4096


class BlockState(StrEnum):
    """How the blocks that a discard touches are mapped."""

    FULL = "full"
    SPARSE = "sparse"
    SHARED = "shared"


STATES = {
    BlockState.FULL: "every block mapped",
    BlockState.SPARSE: "one block in sixteen mapped",
    BlockState.SHARED: "every block mapped, and shared with a snapshot",
}
SPARSE_STEP = 16
"""Of so many blocks one is mapped where they are sparse."""

_LENGTHS = {"4K": 4 << 10, "64K": 64 << 10, "1M": 1 << 20, "128M": 128 << 20}
_WHOLE = "all"


@dataclass(frozen=True, slots=True)
class DiscardCase:
    """A discard of *length* bytes at *offset*; *size* is its name."""

    state: BlockState
    size: str
    offset: int
    length: int

    @property
    def aligned(self) -> bool:
        """Whether it begins at a block's begin."""
        return self.offset % BLOCK == 0

    @property
    def name(self) -> str:
        """The case in a line."""
        return f"{self.state}, {self.size}{'' if self.aligned else ' + 4K'}"

    def blocks(self) -> range:
        """Return the blocks that it touches, those at its ends included."""
        return range(self.offset // BLOCK, -(-(self.offset + self.length) // BLOCK))


def cases() -> Iterator[DiscardCase]:
    """Yield every case: each state, each size; from a block's begin, then from 4 KiB behind one."""
    for state, aligned in product(BlockState, (True, False)):
        shift = 0 if aligned else _SHIFT
        for size, length in _LENGTHS.items():
            yield DiscardCase(state, size, _OFFSET + shift, length)
        yield DiscardCase(state, _WHOLE, shift, DEVICE - 2 * shift)


@dataclass(frozen=True, slots=True)
class DiscardCount:
    """How many requests, and of how many bytes in all."""

    count: int
    """The number of requests."""
    bytes: int
    """Their bytes, all together."""


@dataclass(frozen=True, slots=True)
class DiscardAnswer:
    """What a case came to; *unmapped* and *freed* in blocks, *host* in bytes."""

    thin: DiscardCount
    """Discards at the thin device."""
    unmapped: int
    """Blocks that the thin device has no more."""
    freed: int
    """Blocks that the pool has again."""
    data: DiscardCount
    """Discards at the pool's data device."""
    store: DiscardCount
    """Hole punches at the store."""
    host: int
    """Bytes that the host freed."""


@dataclass(frozen=True, slots=True)
class MeasuredHeights:
    """Whose answers, by the names of the cases."""

    source: str
    answers: dict[str, DiscardAnswer]


@dataclass(frozen=True, slots=True)
class Unlike:
    """One field of one case on which two do not agree."""

    case: str
    field: str
    expected: str
    found: str

    @property
    def in_count_alone(self) -> bool:
        """Whether the same bytes came in other pieces."""
        return self.expected.partition(", ")[2] == self.found.partition(", ")[2] != ""


def compare_heights(expected: MeasuredHeights, found: MeasuredHeights) -> list[Unlike]:
    """Return on what the two do not agree, in the order of the cases; of those that both have."""
    unlike = []
    for case in cases():
        theirs, ours = expected.answers.get(case.name), found.answers.get(case.name)
        if theirs is None or ours is None:
            continue
        for field in fields(DiscardAnswer):
            texts = said(getattr(theirs, field.name)), said(getattr(ours, field.name))
            if texts[0] != texts[1]:
                unlike.append(Unlike(case.name, field.name, *texts))
    return unlike


def said(value: DiscardCount | int) -> str:
    """Return a field in words."""
    return f"{value.count} requests, {value.bytes} bytes" if isinstance(value, DiscardCount) else str(value)


def to_json(measured: MeasuredHeights) -> dict[str, Any]:
    """Return what a recording holds."""
    answers = {name: asdict(answer) for name, answer in measured.answers.items()}
    return {"format": FORMAT, "source": measured.source, "answers": answers}


def from_json(document: Any) -> MeasuredHeights:
    """Read what ``to_json`` returned; InvalidValueError for anything else."""
    try:
        if document["format"] != FORMAT:
            raise InvalidValueError(f"heights of format {document['format']}, not {FORMAT}")
        answers = {name: _answer(answer) for name, answer in document["answers"].items()}
        return MeasuredHeights(document["source"], answers)
    except (KeyError, TypeError) as error:
        raise InvalidValueError(f"no heights of discards: {error!r}") from None


def _answer(document: dict[str, Any]) -> DiscardAnswer:
    requests = {name: DiscardCount(**document[name]) for name in ("thin", "data", "store")}
    return DiscardAnswer(**{**document, **requests})


def chosen(only: Sequence[str]) -> list[DiscardCase]:
    """Return the cases whose names are *only*, all for none; InvalidValueError names the unknown ones."""
    known = {case.name: case for case in cases()}
    for name in only:
        if name not in known:
            raise InvalidValueError(unknown_name("case", name, known))
    return [case for name, case in known.items() if not only or name in only]

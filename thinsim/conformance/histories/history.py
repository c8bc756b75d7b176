"""A `History` is a complete list of operations on a thin pool.

An operation never depends on an earlier answer, so any part of a history is a history too
(``thinsim.conformance.histories.shrink``). Words in braces replace the names that differ between machines:
``{data}``, ``{metadata}`` and ``{other}`` are the loop devices, any other name is a device-mapper device.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from thinsim.errors import InvalidValueError

OTHER_KIB = 16 << 10
"""The size of the loop device ``{other}``, KiB."""


@dataclass(frozen=True, slots=True)
class Dmsetup:
    """A `Dmsetup` runs dmsetup with *words*."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """A `Write` writes *length* bytes at *offset* past the page cache, in a pattern made of *tag*."""

    device: str
    offset: int
    length: int
    tag: int


@dataclass(frozen=True, slots=True)
class Read:
    """A `Read` reads *length* bytes at *offset* past the page cache."""

    device: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Discard:
    """A `Discard` sends BLKDISCARD for *length* bytes at *offset*."""

    device: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Flush:
    """A `Flush` makes the earlier writes to a device durable."""

    device: str


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """A `BlockRequest` sends a request of *kind* (``requests/kinds.py``); a write uses a pattern of *tag*."""

    device: str
    kind: str
    offset: int
    length: int
    tag: int


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """A `QueueLimits` reads the requests that a device accepts, and the size of the smallest one."""

    device: str


@dataclass(frozen=True, slots=True)
class Program:
    """A `Program` runs a program of ``requests/programs.py``, which checks the data itself, on a device."""

    name: str
    device: str


@dataclass(frozen=True, slots=True)
class Grow:
    """A `Grow` extends the file of a loop device to *kib* KiB, and the loop device with it."""

    role: str
    kib: int


@dataclass(frozen=True, slots=True)
class Look:
    """A `Look` reads everything: whole contents, tables, attributes, and the allocation on the host."""


HistoryOperation = (
    Dmsetup | Write | Read | Discard | Flush | BlockRequest | QueueLimits | Program | Grow | Look
)
Operations = Iterator[HistoryOperation]

_VERBS: dict[str, type[Any]] = {
    "dmsetup": Dmsetup,
    "write": Write,
    "read": Read,
    "discard": Discard,
    "flush": Flush,
    "request": BlockRequest,
    "limits": QueueLimits,
    "program": Program,
    "grow": Grow,
    "look": Look,
}
_NAMES = {kind: verb for verb, kind in _VERBS.items()}


@dataclass(frozen=True, slots=True)
class History:
    """A `History` runs its operations on loop devices of *data_kib* and *metadata_kib* KiB.

    The loop device ``{other}`` has ``OTHER_KIB``. *traits* name the special features of the history for the
    table of comparisons. *logical_block*: the smallest request that the loop devices accept, bytes.
    """

    name: str
    data_kib: int
    metadata_kib: int
    operations: tuple[HistoryOperation, ...]
    traits: tuple[str, ...] = ()
    logical_block: int = 512

    @property
    def needs_nodes(self) -> bool:
        """Return whether the history needs the kernel's block layer, which the engine in process lacks."""
        return any(isinstance(each, BlockRequest | QueueLimits | Program) for each in self.operations)


def operation_to_json(operation: HistoryOperation) -> list[Any]:
    """Return the operation as a list: its verb, then its arguments."""
    if isinstance(operation, Dmsetup):
        return ["dmsetup", *operation.words]
    return [_NAMES[type(operation)], *asdict(operation).values()]


def operation_from_json(entry: Sequence[Any]) -> HistoryOperation:
    """Read a list that :func:`operation_to_json` returned; InvalidValueError for any other."""
    try:
        verb, *values = entry
        operation: HistoryOperation = (
            Dmsetup(tuple(map(str, values))) if verb == "dmsetup" else _VERBS[verb](*values)
        )
    except (KeyError, TypeError, ValueError):
        raise InvalidValueError(f"not an operation of a history: {entry!r}") from None
    return operation


def history_to_json(history: History) -> dict[str, Any]:
    """Return the history as a JSON object."""
    return {
        "name": history.name,
        "data_kib": history.data_kib,
        "metadata_kib": history.metadata_kib,
        "traits": list(history.traits),
        **({"logical_block": history.logical_block} if history.logical_block != 512 else {}),
        "operations": [operation_to_json(operation) for operation in history.operations],
    }


def history_from_json(entry: dict[str, Any]) -> History:
    """Read an object that :func:`history_to_json` returned; InvalidValueError for any other."""
    try:
        return History(
            str(entry["name"]),
            int(entry["data_kib"]),
            int(entry["metadata_kib"]),
            tuple(operation_from_json(operation) for operation in entry["operations"]),
            tuple(entry["traits"]),
            int(entry.get("logical_block", 512)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidValueError(f"not a history: {error!r}") from None

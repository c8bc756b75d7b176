"""A history says what is done to a thin pool, operation by operation, fully spelled out.

An operation never depends on what an earlier one answered, so that any part of a history is a history
(``thinsim.conformance.histories.shrink``). Words in braces stand for what differs from machine to machine:
``{data}``, ``{metadata}``, ``{other}`` are the loop devices, any other name is a device-mapper device.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from thinsim.errors import InvalidValueError

OTHER_KIB = 16 << 10
"""Size of the loop device ``{other}``."""


@dataclass(frozen=True, slots=True)
class Dmsetup:
    """Run dmsetup with these words."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """Write *length* bytes at *offset* past the page cache, a pattern made of *tag*."""

    device: str
    offset: int
    length: int
    tag: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read *length* bytes at *offset* past the page cache."""

    device: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Discard:
    """BLKDISCARD of *length* bytes at *offset*."""

    device: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Make durable what was written to a device."""

    device: str


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """Send a request of *kind* (``conformance/requests/kinds.py``); it writes a pattern made of *tag*."""

    device: str
    kind: str
    offset: int
    length: int
    tag: int


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Ask which requests a device takes, and how large the smallest one is."""

    device: str


@dataclass(frozen=True, slots=True)
class Program:
    """Run a program of ``thinsim.conformance.requests.programs`` on a device; it checks the data itself."""

    name: str
    device: str


@dataclass(frozen=True, slots=True)
class Grow:
    """Give the file of a loop device *kib* KiB, and the loop device its size."""

    role: str
    kib: int


@dataclass(frozen=True, slots=True)
class Look:
    """Look at everything: whole contents, tables, attributes, what is allocated on the host."""


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
    """Operations on loop devices of *data_kib* and *metadata_kib* KiB (``{other}`` has ``OTHER_KIB``).

    *traits* tell what is special about it, for the table of what was compared. *logical_block*: bytes of the
    smallest request that the loop devices take.
    """

    name: str
    data_kib: int
    metadata_kib: int
    operations: tuple[HistoryOperation, ...]
    traits: tuple[str, ...] = ()
    logical_block: int = 512

    @property
    def needs_nodes(self) -> bool:
        """Whether it asks the kernel's block layer, which an engine in process does not have."""
        return any(isinstance(each, BlockRequest | QueueLimits | Program) for each in self.operations)


def operation_to_json(operation: HistoryOperation) -> list[Any]:
    """Return the operation as a list: its verb, then what it takes."""
    if isinstance(operation, Dmsetup):
        return ["dmsetup", *operation.words]
    return [_NAMES[type(operation)], *asdict(operation).values()]


def operation_from_json(entry: Sequence[Any]) -> HistoryOperation:
    """Read what :func:`operation_to_json` wrote; InvalidValueError for anything else."""
    try:
        verb, *values = entry
        operation: HistoryOperation = (
            Dmsetup(tuple(map(str, values))) if verb == "dmsetup" else _VERBS[verb](*values)
        )
    except (KeyError, TypeError, ValueError):
        raise InvalidValueError(f"no operation of a history: {entry!r}") from None
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
    """Read what :func:`history_to_json` wrote; InvalidValueError for anything else."""
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
        raise InvalidValueError(f"no history: {error!r}") from None

"""Steps describe the I/O that a request on a thin device needs on the data device.

The engine maps and decides; an executor carries out the steps, in order. The executor then hands the plan
back: to ``complete``, which inserts the mappings and drops the references, or to ``abandon`` if a step
failed. All offsets and lengths are bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadZeros:
    """A `ReadZeros` step reads the next *length* bytes as zeros, because they are unmapped."""

    length: int


@dataclass(frozen=True, slots=True)
class ReadData:
    """A `ReadData` step reads the next *length* bytes at *data_offset* of the data device."""

    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ReadOrigin:
    """A `ReadOrigin` step reads the next *length* bytes at *origin_offset* of the external origin."""

    origin_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class WriteData:
    """A `WriteData` step writes *length* bytes of the request, from *request_offset* on, at *data_offset*."""

    request_offset: int
    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ZeroData:
    """A `ZeroData` step writes *length* zero bytes at *data_offset*."""

    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class CopyData:
    """A `CopyData` step copies *length* bytes within the data device (break sharing)."""

    source_offset: int
    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class CopyOrigin:
    """A `CopyOrigin` step copies *length* bytes from the external origin (schedule_external_copy)."""

    origin_offset: int
    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class PassDown:
    """A `PassDown` step discards a range of the data device; its failure is ignored (passdown_endio)."""

    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class FlushData:
    """A `FlushData` step flushes the data device."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A `Commit` step commits the metadata: it flushes the data device, then writes and flushes metadata."""


ReadStep = ReadZeros | ReadData | ReadOrigin
PlanStep = ReadStep | WriteData | ZeroData | CopyData | CopyOrigin | PassDown | FlushData | Commit

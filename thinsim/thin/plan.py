"""Steps tell what a request on a thin device means for the data device.

The engine maps and decides, an executor carries out. A plan is carried out in order, then handed
back with ``complete`` (mappings become visible, references move) or ``abandon`` (a step failed: no
mapping is inserted). All offsets and lengths are bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadZeros:
    """*length* zero bytes of the answer: the range is unmapped."""

    length: int


@dataclass(frozen=True, slots=True)
class ReadData:
    """The next *length* bytes of the answer stand at *data_offset* of the data device."""

    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ReadOrigin:
    """The next *length* bytes of the answer stand at *origin_offset* of the external origin."""

    origin_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class WriteData:
    """Write *length* bytes of the request, from *request_offset* on, at *data_offset*."""

    request_offset: int
    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ZeroData:
    """Write *length* zero bytes at *data_offset*."""

    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class CopyData:
    """Copy *length* bytes within the data device (break sharing)."""

    source_offset: int
    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class CopyOrigin:
    """Copy *length* bytes from the external origin to the data device (schedule_external_copy)."""

    origin_offset: int
    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class PassDown:
    """Discard the range on the data device; its failure is ignored (dm-thin.c, passdown_endio)."""

    data_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class FlushData:
    """Flush the data device."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit the pool's metadata: flush the data device, then write and flush the metadata."""


ReadStep = ReadZeros | ReadData | ReadOrigin
PlanStep = ReadStep | WriteData | ZeroData | CopyData | CopyOrigin | PassDown | FlushData | Commit

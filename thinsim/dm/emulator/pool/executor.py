"""`execute` carries out the engine's plans on a data device, step by step.

It blocks, so it runs on a worker thread.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from thinsim.block.interface import BlockDevice
from thinsim.thin.plan import (
    Commit,
    CopyData,
    CopyOrigin,
    FlushData,
    PassDown,
    PlanStep,
    ReadData,
    ReadOrigin,
    ReadStep,
    ReadZeros,
    WriteData,
    ZeroData,
)

_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)


class CopySource(Protocol):
    """A `CopySource` is the source of a copy: the external origin, or data read from it before."""

    def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*; it raises ``OSError``."""


def execute_read(steps: Sequence[ReadStep], data: BlockDevice) -> bytes:
    """Return the answer that *steps* put together; ``OSError`` from the data device.

    No step may read the external origin: that happens while the pool is not locked.
    """
    parts = [_read(step, data) for step in steps]
    return parts[0] if len(parts) == 1 else b"".join(parts)


def execute(
    steps: Sequence[PlanStep],
    data: BlockDevice,
    request: bytes | memoryview = b"",
    origin: CopySource | None = None,
    commit: Callable[[], None] | None = None,
) -> None:
    """Carry out *steps* in order. *request* is the data of a write; *commit* carries out a Commit step.

    *origin* is the external origin that a provisioned block is copied from.

    An ``OSError`` from the data device ends the execution, after every piece of the request itself was sent;
    the caller then abandons the plan. The error of a passed-down discard is ignored, as in the kernel
    (dm-thin.c, passdown_endio).
    """
    content = memoryview(request)
    failed: OSError | None = None
    for step in steps:
        match step:
            case WriteData(request_offset, data_offset, length):
                try:
                    data.write(data_offset, content[request_offset : request_offset + length])
                except OSError as error:
                    failed = failed or error
            case CopyData(source_offset, data_offset, length):
                _copy(data, source_offset, data, data_offset, length)
            case CopyOrigin(origin_offset, data_offset, length):
                _copy(_the(origin), origin_offset, data, data_offset, length)
            case ZeroData(data_offset, length):
                _zero(data, data_offset, length)
            case PassDown(data_offset, length):
                _pass_down(data, data_offset, length)
            case FlushData():
                data.flush()
            case Commit():
                if commit is None:
                    raise AssertionError("a plan with a Commit step needs a commit function")
                commit()
            case ReadData() | ReadZeros() | ReadOrigin():
                raise AssertionError("reads are carried out by execute_read")
    if failed is not None:
        raise failed


def _read(step: ReadStep, data: BlockDevice) -> bytes:
    match step:
        case ReadZeros(length):
            return bytes(length)
        case ReadData(data_offset, length):
            return data.read(data_offset, length)
        case ReadOrigin():
            raise AssertionError("the external origin is read elsewhere")


def _the(origin: CopySource | None) -> CopySource:
    if origin is None:
        raise AssertionError("the plan copies from an external origin, but the device has none")
    return origin


def _copy(source: CopySource, source_offset: int, data: BlockDevice, data_offset: int, length: int) -> None:
    for done in range(0, length, _PIECE):
        piece = min(_PIECE, length - done)
        data.write(data_offset + done, source.read(source_offset + done, piece))


def _zero(data: BlockDevice, data_offset: int, length: int) -> None:
    for done in range(0, length, _PIECE):
        data.write(data_offset + done, memoryview(_ZEROS)[: min(_PIECE, length - done)])


def _pass_down(data: BlockDevice, data_offset: int, length: int) -> None:
    # The pool target splits a discard by the data device's limit (dm.c, max_io_len of a discard).
    limit = data.max_discard_bytes or length
    if limit > _PIECE:
        # A limit of 4 GiB less one sector would cut a block of the host in two, and neither part frees it.
        limit -= limit % _PIECE
    for done in range(0, length, limit):
        try:
            data.discard(data_offset + done, min(limit, length - done))
        except OSError:
            continue

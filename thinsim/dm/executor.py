"""Carries out the engine's plans on a data device, step by step. Blocking; runs on a worker thread."""

from collections.abc import Callable, Sequence

from thinsim.block.interface import BlockDevice
from thinsim.thin.plan import (
    Commit,
    CopyData,
    FlushData,
    PassDown,
    ReadData,
    ReadStep,
    ReadZeros,
    Step,
    WriteData,
    ZeroData,
)

_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)


def execute_read(steps: Sequence[ReadStep], data: BlockDevice) -> bytes:
    """Return the answer that *steps* put together; ``OSError`` from the data device."""
    if len(steps) == 1 and isinstance(steps[0], ReadData):
        return data.read(steps[0].data_offset, steps[0].length)
    return b"".join(
        bytes(step.length) if isinstance(step, ReadZeros) else data.read(step.data_offset, step.length)
        for step in steps
    )


def execute(
    steps: Sequence[Step],
    data: BlockDevice,
    request: bytes | memoryview = b"",
    commit: Callable[[], None] | None = None,
) -> None:
    """Carry out *steps* in order; *request* is the data of a write, *commit* what a Commit step means.

    ``OSError`` from the data device ends it; the caller then abandons the plan. The error of a
    passed down discard is ignored, as in the kernel (dm-thin.c, passdown_endio).
    """
    content = memoryview(request)
    for step in steps:
        match step:
            case WriteData(request_offset, data_offset, length):
                data.write(data_offset, content[request_offset : request_offset + length])
            case CopyData(source_offset, data_offset, length):
                _copy(data, source_offset, data_offset, length)
            case ZeroData(data_offset, length):
                _zero(data, data_offset, length)
            case PassDown(data_offset, length):
                _pass_down(data, data_offset, length)
            case FlushData():
                data.flush()
            case Commit():
                if commit is None:
                    raise AssertionError("a plan with a Commit step needs a commit to carry out")
                commit()
            case ReadData() | ReadZeros():
                raise AssertionError("reads are carried out by execute_read")


def _copy(data: BlockDevice, source_offset: int, data_offset: int, length: int) -> None:
    for done in range(0, length, _PIECE):
        piece = min(_PIECE, length - done)
        data.write(data_offset + done, data.read(source_offset + done, piece))


def _zero(data: BlockDevice, data_offset: int, length: int) -> None:
    for done in range(0, length, _PIECE):
        data.write(data_offset + done, memoryview(_ZEROS)[: min(_PIECE, length - done)])


def _pass_down(data: BlockDevice, data_offset: int, length: int) -> None:
    # The pool target splits to the data device's own limit (dm.c, max_io_len of a discard).
    limit = data.max_discard_bytes or length
    if limit > _PIECE:
        # A limit of 4 GiB less a sector would cut a block of the host in two: neither part frees it.
        limit -= limit % _PIECE
    for done in range(0, length, limit):
        try:
            data.discard(data_offset + done, min(limit, length - done))
        except OSError:
            continue

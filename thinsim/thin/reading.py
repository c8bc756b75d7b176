"""`read_steps` returns the steps of a read, with adjacent pieces joined."""

from collections.abc import Mapping

from thinsim.thin.mapping import TIME_BITS
from thinsim.thin.plan import ReadData, ReadOrigin, ReadStep, ReadZeros


def read_steps(
    found: Mapping[int, int], offset: int, length: int, block_size: int, origin_end: int
) -> list[ReadStep]:
    """Return the steps of a read of *length* bytes at *offset*.

    *found* has the packed mappings of its blocks, by virtual block. Unmapped blocks are read from the
    external origin before *origin_end*, and as zeros after it.
    """
    steps: list[ReadStep] = []
    position, end = offset, offset + length
    while position < end:
        vblock, within = divmod(position, block_size)
        piece = min(block_size - within, end - position)
        packed = found.get(vblock)
        if packed is not None:
            _append(steps, ReadData((packed >> TIME_BITS) * block_size + within, piece))
        else:
            head = max(0, min(piece, origin_end - position))
            if head:
                _append(steps, ReadOrigin(position, head))
            if head < piece:
                _append(steps, ReadZeros(piece - head))
        position += piece
    return steps


def _append(steps: list[ReadStep], step: ReadStep) -> None:
    """Append *step*, or join it to the last step if the two are adjacent."""
    match steps[-1] if steps else None, step:
        case ReadZeros(length), ReadZeros():
            steps[-1] = ReadZeros(length + step.length)
        case ReadData(start, length), ReadData() if start + length == step.data_offset:
            steps[-1] = ReadData(start, length + step.length)
        case ReadOrigin(start, length), ReadOrigin() if start + length == step.origin_offset:
            steps[-1] = ReadOrigin(start, length + step.length)
        case _:
            steps.append(step)

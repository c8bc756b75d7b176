"""`packed` and `unpacked` translate a metadata block to the instructions of thin_metadata_pack, and back.

A block is a row of instructions that write numbers of 64 bits or plain bytes. The first byte of each has the
kind in its high half and a small operand in its low half. Most instructions change a base by a difference and
write it, so that the ascending keys of a node take a few bytes (src/pack/vm.rs of thin-provisioning-tools).
"""

import struct
from array import array
from collections.abc import Sequence
from enum import IntEnum
from itertools import groupby, pairwise

from thinsim.errors import InvalidValueError
from thinsim.thin.metadata.checksum import NODE_SALT, checksum, stored_checksum
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE

_NODE = struct.Struct("<4xI8x4xII4x")
"""The flags, the largest number of entries, and the size of a value, of a btree node."""
_INTERNAL = 1
_NUMBER = 8
_WORD = 1 << 64
_MASK = _WORD - 1
_LOW_BITS = 24
_SMALL = 16
_WIDTHS = (1, 2, 4, 8)


class _Kind(IntEnum):
    SET = 0
    ADD = 1
    ADD_WIDE = 2
    SUBTRACT = 3
    SUBTRACT_WIDE = 4
    REPEAT = 5
    REPEAT_LONG = 6
    TIMES = 7
    TIMES_LONG = 8
    BYTES = 9
    BYTES_WIDE = 10
    SPLIT = 11


def packed(block: bytes) -> bytes:
    """Return the instructions that write *block*."""
    if stored_checksum(block) ^ checksum(block, 0) == NODE_SALT:
        flags, entries, value_size = _NODE.unpack_from(block)
        keys = _NODE.size + entries * _NUMBER
        values = keys + entries * _NUMBER
        if values <= METADATA_BLOCK_SIZE and (flags == _INTERNAL or value_size == _NUMBER):
            numbers = _numbers(block[_NODE.size : keys]) + _numbers(block[keys:values])
            return _bytes(block[: _NODE.size]) + numbers + _bytes(block[values:])
        if keys <= METADATA_BLOCK_SIZE:
            return _bytes(block[: _NODE.size]) + _numbers(block[_NODE.size : keys]) + _bytes(block[keys:])
    return _bytes(block)


def unpacked(instructions: memoryview, at: int) -> tuple[bytes, int]:
    """Return the block that the instructions from *at* write, and the place after them.

    InvalidValueError: they end early, are unknown, or write more than a block.
    """
    machine = _Machine(instructions, at)
    return bytes(machine.run(METADATA_BLOCK_SIZE)), machine.at


def _head(kind: _Kind, operand: int) -> bytes:
    return bytes([kind << 4 | operand])


def _wide(kind: _Kind, number: int) -> bytes:
    width = next(width for width in _WIDTHS if number < 1 << 8 * width)
    return _head(kind, width) + number.to_bytes(width, "little")


def _counted(kind: _Kind, long: _Kind, count: int) -> bytes:
    if count < _SMALL:
        return _head(kind, count)
    return _head(long, count >> 8) + bytes([count & 0xFF])


def _bytes(content: bytes) -> bytes:
    if not content:
        return b""
    return _wide(_Kind.BYTES_WIDE, len(content)) + content


def _numbers(content: bytes) -> bytes:
    """Return the instructions for the 64-bit numbers in *content*: a start, and runs of equal differences."""
    numbers = struct.unpack(f"<{len(content) // _NUMBER}Q", content)
    if not numbers:
        return b""
    parts = [_wide(_Kind.SET, numbers[0])]
    steps = ((after - before) & _MASK for before, after in pairwise(numbers))
    parts += [_run(step, len(list(same))) for step, same in groupby(steps)]
    return b"".join(parts)


def _run(step: int, count: int) -> bytes:
    if not step:
        return _counted(_Kind.REPEAT, _Kind.REPEAT_LONG, count)
    times = _counted(_Kind.TIMES, _Kind.TIMES_LONG, count) if count > 1 else b""
    down = step >= _WORD // 2
    small, wide = (_Kind.SUBTRACT, _Kind.SUBTRACT_WIDE) if down else (_Kind.ADD, _Kind.ADD_WIDE)
    size = _WORD - step if down else step
    return times + (_head(small, size) if size < _SMALL else _wide(wide, size))


class _Machine:
    """A `_Machine` executes instructions from the place *at*; the base is kept over all of one block."""

    def __init__(self, instructions: memoryview, at: int) -> None:
        self.at = at
        self._instructions = instructions
        self._base = 0
        self._splitting = False

    def run(self, size: int) -> bytearray:
        """Return the *size* bytes that the next instructions write."""
        written = bytearray()
        while len(written) < size:
            self._step(written, 1)
        if len(written) > size:
            raise InvalidValueError(f"instructions write {len(written)} bytes instead of {size}")
        return written

    def _step(self, written: bytearray, times: int) -> None:
        head = self._take(1)[0]
        kind, operand = head >> 4, head & 0xF
        match kind:
            case _Kind.SET:
                self._base = self._number(operand)
                self._write(written, 0, times)
            case _Kind.ADD:
                self._write(written, operand, times)
            case _Kind.ADD_WIDE:
                self._write(written, self._number(operand), times)
            case _Kind.SUBTRACT:
                self._write(written, -operand, times)
            case _Kind.SUBTRACT_WIDE:
                self._write(written, -self._number(operand), times)
            case _ if times != 1:
                raise InvalidValueError(f"an instruction of kind {kind} is repeated")
            case _Kind.REPEAT:
                self._write(written, 0, operand)
            case _Kind.REPEAT_LONG:
                self._write(written, 0, self._long(operand))
            case _Kind.TIMES:
                self._step_again(written, operand)
            case _Kind.TIMES_LONG:
                self._step_again(written, self._long(operand))
            case _Kind.BYTES:
                written += self._take(operand)
            case _Kind.BYTES_WIDE:
                written += self._take(self._number(operand))
            case _Kind.SPLIT if not self._splitting:
                self._write_split(written, self._long(operand))
            case _:
                raise InvalidValueError(f"an instruction of kind {kind} is unknown, or has no place here")

    def _step_again(self, written: bytearray, times: int) -> None:
        if times < 2:
            raise InvalidValueError(f"an instruction is repeated {times} times")
        self._step(written, times)

    def _write(self, written: bytearray, step: int, times: int) -> None:
        base = self._base
        numbers = array("Q", [(base + step * number) & _MASK for number in range(1, times + 1)])
        self._base = (base + step * times) & _MASK
        written += numbers.tobytes()

    def _write_split(self, written: bytearray, count: int) -> None:
        """Write *count* numbers whose high and low parts are two rows."""
        self._splitting = True
        high, low = (self._row(count) for _ in range(2))
        self._splitting = False
        mask = (1 << _LOW_BITS) - 1
        joined = (above << _LOW_BITS & _MASK | below & mask for above, below in zip(high, low, strict=True))
        written += array("Q", joined).tobytes()

    def _row(self, count: int) -> Sequence[int]:
        return struct.unpack(f"<{count}Q", self.run(count * _NUMBER))

    def _long(self, operand: int) -> int:
        return operand << 8 | self._take(1)[0]

    def _number(self, width: int) -> int:
        if width not in _WIDTHS:
            raise InvalidValueError(f"an operand has {width} bytes")
        return int.from_bytes(self._take(width), "little")

    def _take(self, size: int) -> memoryview:
        taken = self._instructions[self.at : self.at + size]
        if len(taken) < size:
            raise InvalidValueError("the instructions of a block end early")
        self.at += size
        return taken

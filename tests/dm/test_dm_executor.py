"""The executor carries out its steps on a data device."""

import pytest

from tests.dm.memory_device import MemoryDevice
from thinsim.dm.emulator.pool.executor import execute, execute_read
from thinsim.thin.plan import (
    Commit,
    CopyData,
    FlushData,
    PassDown,
    ReadData,
    ReadStep,
    ReadZeros,
    WriteData,
    ZeroData,
)

MIB = 1 << 20


def test_a_read_is_put_together_from_data_and_zeros() -> None:
    data = MemoryDevice(4096)
    data.content[:] = b"abcdefgh" * 512
    steps: list[ReadStep] = [ReadData(2, 3), ReadZeros(2), ReadData(0, 1)]
    assert execute_read(steps, data) == b"cde\0\0a"
    assert execute_read([ReadData(1, 2)], data) == b"bc"
    assert execute_read([ReadZeros(3)], data) == b"\0\0\0"
    assert execute_read([], data) == b""


def test_writes_take_their_part_of_the_request_in_order() -> None:
    data = MemoryDevice(16)
    execute([WriteData(4, 0, 4), WriteData(0, 8, 4), FlushData()], data, b"headtail")
    assert data.content == b"tail\0\0\0\0head\0\0\0\0"
    assert data.log == [("write", 0, 4), ("write", 8, 4), ("flush",)]


def test_long_zeroes_and_copies_go_in_pieces_and_are_whole() -> None:
    data = MemoryDevice(8 * MIB)
    pattern = bytes(range(256)) * (10 * MIB // 1024)
    data.content[: len(pattern)] = pattern
    execute([CopyData(0, 4 * MIB, len(pattern))], data)
    assert data.content[4 * MIB : 4 * MIB + len(pattern)] == pattern
    execute([ZeroData(512, len(pattern) - 1024)], data)
    assert data.content[: len(pattern)] == pattern[:512] + bytes(len(pattern) - 1024) + pattern[-512:]
    assert max(entry[2] for entry in data.log if entry[0] == "write") == MIB  # type: ignore[type-var]


def test_a_failing_step_ends_the_plan() -> None:
    data = MemoryDevice(4096)
    data.fails = {"read"}
    with pytest.raises(OSError, match="Input/output error"):
        execute([CopyData(0, 512, 512), WriteData(0, 0, 512)], data, b"x" * 512)
    assert data.log == [("read", 0, 512)]


def test_a_failing_passdown_is_no_error() -> None:
    data = MemoryDevice(4096, max_discard_bytes=1024)
    data.fails = {"discard"}
    execute([PassDown(0, 4096), FlushData()], data)
    assert data.log == [*(("discard", offset, 1024) for offset in range(0, 4096, 1024)), ("flush",)]


def test_passdowns_are_cut_where_no_host_block_is_cut() -> None:
    data = MemoryDevice(8 * MIB, max_discard_bytes=4 * MIB - 512)
    execute([PassDown(0, 7 * MIB)], data)
    assert data.log == [("discard", 0, 3 * MIB), ("discard", 3 * MIB, 3 * MIB), ("discard", 6 * MIB, MIB)]


def test_a_commit_step_is_the_callers() -> None:
    data = MemoryDevice(512)
    done: list[str] = []
    execute([Commit()], data, commit=lambda: done.append("committed"))
    assert done == ["committed"]
    with pytest.raises(AssertionError, match="Commit"):
        execute([Commit()], data)
    with pytest.raises(AssertionError, match="reads"):
        execute([ReadZeros(1)], data)

"""A data oracle checks the device after each request; the tables show the answers to the requests."""

import errno
import mmap
import os
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from thinsim.conformance.answers.answer import Answer, Recording
from thinsim.conformance.answers.request_table import request_tables
from thinsim.conformance.answers.verdict import judge_recordings
from thinsim.conformance.histories.history import BlockRequest, Dmsetup, History, Program, QueueLimits
from thinsim.conformance.histories.request_histories import RANGES, request_histories
from thinsim.conformance.requests import kinds, programs
from thinsim.conformance.requests.kinds import KINDS
from thinsim.conformance.requests.node_io import hash_of, pattern
from thinsim.machine.journal import Journal
from thinsim.rig.emulated_stack import open_stack
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes

BLOCK = 65536
SIZE = 1 << 20
OLD = pattern(0, SIZE, 7)


def whole(node: Path) -> bytes:
    fd = os.open(node, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, SIZE) as buffer:
            assert os.preadv(fd, [buffer], 0) == SIZE
            return buffer[:]
    finally:
        os.close(fd)


def fill(node: Path) -> None:
    fd = os.open(node, os.O_WRONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, SIZE) as buffer:
            buffer[:] = OLD
            assert os.pwrite(fd, buffer, 0) == SIZE
    finally:
        os.close(fd)


def expected(kind: str, offset: int, length: int, status: int) -> bytes:
    """Return the content of the whole device after a request on old data."""
    end = min(offset + length, SIZE)
    found = bytearray(OLD)
    if KINDS[kind].zeroes and status == 0:
        found[offset:end] = bytes(end - offset)
    elif kind == "BLKDISCARD" and status == 0:
        first, last = -(-offset // BLOCK) * BLOCK, end // BLOCK * BLOCK
        if first < last:
            found[first:last] = bytes(last - first)
    elif "write" in kind and (status == 0 or offset + length > SIZE) and status not in (22, 14):
        found[offset:end] = pattern(offset, length, 1)[: end - offset]  # past the end: the part that fits
    return bytes(found)


def put_every_request(node: Path) -> None:
    # Punches come first: a refused zero range makes the loop driver refuse all later requests for zeros.
    for kind in sorted(KINDS, key=lambda kind: "PUNCH_HOLE" not in kind):
        for name, (offset, length) in RANGES.items():
            fill(node)
            status, text = kinds.send(node, kind, offset, length, 1)
            assert whole(node) == expected(kind, offset, length, status), (kind, name, status)
            if "read" in kind and status == 0 and offset + length <= SIZE:
                assert text == hash_of(OLD[offset : offset + length]), (kind, name)


@pytest.mark.rig
async def test_after_every_request_an_emulated_thin_device_holds_what_it_should(
    tmp_path: Path, journal: Journal
) -> None:
    shape = PoolShape("requests-oracle", data_size=Bytes(64 * BLOCK), metadata_size=Bytes(4 << 20))
    async with open_stack(tmp_path, shape, journal) as stack:
        pool = f"0 {64 * 128} thin-pool {stack.metadata.path} {stack.data.path} 128 0 1 skip_block_zeroing"
        await stack.dm.create(shape.name, pool)
        await stack.dm.message(shape.name, 0, "create_thin 1")
        thin = f"{shape.name}-1"
        await stack.dm.create(thin, f"0 {SIZE // 512} thin /dev/mapper/{shape.name} 1")
        await trio.to_thread.run_sync(put_every_request, stack.dm.path(thin))
        await stack.dm.remove(thin, retry=True)
        assert await stack.dm.check(shape.name) == []
        await stack.dm.remove(shape.name)


def test_a_request_to_no_device_has_the_errno_of_opening_it(tmp_path: Path) -> None:
    assert kinds.send(tmp_path / "none", "BLKZEROOUT", 0, 512, 1) == (errno.ENOENT, "")
    assert kinds.limits(tmp_path / "none") == "errno 2"


def test_every_history_of_requests_has_a_name_of_its_own() -> None:
    histories = request_histories()
    assert len({history.name for history in histories}) == len(histories)
    assert all(history.needs_nodes for history in histories)
    assert {history.logical_block for history in histories} == {512, 4096}
    asked = {
        each.kind for history in histories for each in history.operations if isinstance(each, BlockRequest)
    }
    assert asked == set(KINDS)
    ran = {each.name for history in histories for each in history.operations if isinstance(each, Program)}
    assert ran == set(programs.PROGRAMS)


def recording(statuses: dict[str, int]) -> Recording:
    """Return a kernel's answers to one range of each kind on mapped blocks."""
    operations = (
        Dmsetup(("message", "{pool}", "0", "create_thin 1")),
        QueueLimits("t1"),
        *(BlockRequest("t1", kind, *RANGES["one data block"], 1) for kind in statuses),
        QueueLimits("t1"),
        Program("fallocate -p", "t1"),
    )
    limits = Answer(
        0,
        "logical_block_size 512, discard_granularity 65536, discard_max_bytes not 0, "
        "write_zeroes_max_bytes 0, fua 1",
    )
    answers = (Answer(0), limits, *map(Answer, statuses.values()), limits, Answer(0, "exit 1; 0+524288 old"))
    return Recording(History("requests-mapped-512", 64, 64, operations, ("x",)), "Linux 1.2", answers, None)


def test_a_table_shows_the_kernels_answers_and_marks_where_ours_differ() -> None:
    kernel = recording({"BLKZEROOUT": 0, "fallocate PUNCH_HOLE|KEEP_SIZE": errno.EOPNOTSUPP})
    ours = recording({"BLKZEROOUT": errno.EIO, "fallocate PUNCH_HOLE|KEEP_SIZE": errno.EOPNOTSUPP})
    lines = request_tables(
        [[kernel]], [judge_recordings("Linux 1.2", "emulated", [(kernel, ours)])]
    ).splitlines()
    row = next(line for line in lines if line.startswith("| BLKZEROOUT "))
    assert row == "| BLKZEROOUT | WRITE_ZEROES with NOUNMAP, or WRITE of zeros | **ok** |"
    assert "| fallocate PUNCH_HOLE\\|KEEP_SIZE | WRITE_ZEROES that may unmap | EOPNOTSUPP |" in lines
    assert "| mapped blocks | 512 | 512 | 65536 | yes | 0 | 1 |" in lines
    assert "| fallocate -p | 512 | exit 1; 0+524288 old | yes |" in lines
    assert request_tables([], []) == ""


def test_what_another_kernel_answers_otherwise_has_a_table_of_its_own() -> None:
    newer = recording({"BLKZEROOUT": 0, "BLKDISCARD": 0})
    older = replace(recording({"BLKZEROOUT": errno.EIO, "BLKDISCARD": 0}), source="Linux 1.1")
    lines = request_tables([[older], [newer]], []).splitlines()
    assert "Linux 1.1 gave the same answers, except these:" in lines
    assert "| BLKZEROOUT | mapped blocks | one data block | ok | EIO |" in lines
    assert "Linux 1.1 gave the same answers." in request_tables(
        [[replace(newer, source="Linux 1.1")], [newer]], []
    )

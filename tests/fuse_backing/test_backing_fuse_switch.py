"""The kernel's switch of FUSE over io_uring is restored, whatever happens while it is on."""

import fcntl
import logging
import os
from pathlib import Path

import pytest
import trio

from fuse_backing import fuse_switch
from fuse_backing.fuse_switch import left_on, restore_left, turned_on


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    path = tmp_path / "enable_uring"
    path.write_text("N")
    return path


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "run" / "record"


async def test_it_is_on_for_the_block_alone(switch: Path, record: Path) -> None:
    async with turned_on(switch, record):
        assert switch.read_text() == "Y"
        assert not left_on(record), "its server is alive"
    assert switch.read_text() == "N"
    assert not left_on(record)
    assert not restore_left(switch, record)


async def test_it_is_restored_after_a_failure_and_after_ctrl_c(switch: Path, record: Path) -> None:
    for failure in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(failure):
            async with turned_on(switch, record):
                raise failure
        assert switch.read_text() == "N"


async def test_a_switch_that_was_on_stays_on(switch: Path, record: Path) -> None:
    switch.write_text("Y\n")
    async with turned_on(switch, record):
        pass
    assert switch.read_text() == "Y\n"


async def test_servers_have_it_one_after_the_other(switch: Path, record: Path) -> None:
    order: list[str] = []

    async def have(name: str) -> None:
        async with turned_on(switch, record):
            order.append(name)
            assert switch.read_text() == "Y"
            await trio.sleep(0.02)
            order.append(name)

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(have, name)
    assert [order[at] for at in (0, 2, 4)] == [order[at] for at in (1, 3, 5)]
    assert switch.read_text() == "N"


def left_by_a_killed_server(switch: Path, record: Path) -> None:
    record.parent.mkdir()
    record.write_text("N")
    switch.write_text("Y")


async def test_the_next_server_restores_what_a_killed_one_left(switch: Path, record: Path) -> None:
    left_by_a_killed_server(switch, record)
    assert left_on(record)
    async with turned_on(switch, record):
        assert switch.read_text() == "Y"
    assert switch.read_text() == "N"
    assert not left_on(record)


def test_the_clean_up_restores_what_a_killed_server_left(switch: Path, record: Path) -> None:
    left_by_a_killed_server(switch, record)
    assert restore_left(switch, record)
    assert switch.read_text() == "N"
    assert not restore_left(switch, record)


async def test_without_the_switch_the_block_runs(
    tmp_path: Path, record: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with turned_on(tmp_path / "missing" / "enable_uring", record):
            pass
    assert "FUSE over io_uring" in caplog.text
    assert not left_on(record)


async def test_a_server_that_never_ends_is_waited_for_no_longer_than_the_patience(
    switch: Path, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuse_switch, "PATIENCE", 0.05)
    record.parent.mkdir()
    other = os.open(record, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        async with turned_on(switch, record):
            assert switch.read_text() == "N"
    finally:
        os.close(other)

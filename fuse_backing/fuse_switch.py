"""`turned_on` has the kernel offer FUSE over io_uring for a moment, and then restores its switch.

The switch, a parameter of the kernel's module, is one for the whole machine. While a server has it turned on,
it holds a lock on a record with the value from before. A record with a value that nobody locks was left by a
server that was killed; `left_on` finds it, and the next server that turns the switch on restores it as well.
"""

import fcntl
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from fuse_backing.fuse_uring import SWITCH
from fuse_backing.runtime import ROOTS

log = logging.getLogger(__name__)

RECORD = ROOTS / "enable_uring"
"""The record; it is empty while the switch has its own value."""
PATIENCE = 10.0
"""Seconds for which `turned_on` waits for another server that has the switch."""
_OFF, _ON = b"N", b"Y"


@asynccontextmanager
async def turned_on(switch: Path = SWITCH, record: Path = RECORD) -> AsyncIterator[None]:
    """Turn *switch* on until the block ends.

    Where that is impossible, the block runs without it, and a warning has the reason.
    """
    try:
        record.parent.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(record, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        log.warning("the kernel's switch for FUSE over io_uring stays as it is: %s", error)
        yield
        return
    try:
        if await _locked(fd):
            _turn_on(fd, switch)
        else:
            log.warning("another server does not release %s", record)
        try:
            yield
        finally:
            _restore(fd, switch)
    finally:
        os.close(fd)


def left_on(record: Path = RECORD) -> bool:
    """Return whether a server that was killed has left the switch on."""
    try:
        fd = os.open(record, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return os.fstat(fd).st_size > 0
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def restore_left(switch: Path = SWITCH, record: Path = RECORD) -> bool:
    """Turn off the switch if a killed server has left it on; return whether it has. Raises ``OSError``."""
    if not left_on(record):
        return False
    fd = os.open(record, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        _restore(fd, switch)
    finally:
        os.close(fd)
    return True


async def _locked(fd: int) -> bool:
    with trio.move_on_after(PATIENCE):
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            await trio.sleep(0.01)
    return False


def _turn_on(fd: int, switch: Path) -> None:
    try:
        if os.fstat(fd).st_size == 0 and switch.read_bytes().strip() == _ON:
            return
        os.pwrite(fd, _OFF, 0)  # first, so that a crash leaves a record
        switch.write_bytes(_ON)
    except OSError as error:
        os.ftruncate(fd, 0)
        log.warning("cannot turn on FUSE over io_uring: %s", error)


def _restore(fd: int, switch: Path) -> None:
    """Turn the switch off if the record has a value. Only the holder of the lock calls this."""
    if os.fstat(fd).st_size > 0:
        switch.write_bytes(_OFF)
        os.ftruncate(fd, 0)

"""``python -m thinsim.node.reclaim.guard_process`` resumes a pool if its reclaim dies or stops.

Its words are the descriptor of a socket, the process id of the reclaim, and those of the pool's pause. On
the socket the reclaim announces each pause with its longest duration in seconds, and reports its end. If the
reclaim dies in between, the guard resumes the pool. If the pause takes longer, the guard kills the reclaim
first: a discard after the resume could hit a block that the pool has given out again.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import trio

from thinsim.errors import DeviceMapperError
from thinsim.node.reclaim.pool_pause import PoolPause, pause_from
from thinsim.node.reclaim.steady_process import stay_in_memory

READY, ARMED, RESUMED = b"ready", b"armed", b"resumed"

_MESSAGE = 64
_SETTLED = 1.0
"""Seconds for which the pool must run: a suspend that the reclaim had asked for may still be in progress."""
_LOOK = 0.02
_TOO_LONG = (
    "thinsim: a pause of the pool took longer than {:.1f} s, so its guard killed the reclaim and resumed the "
    "pool; nothing is lost. Run it again when the machine is less busy, or with a longer --pause"
)


def main(words: Sequence[str]) -> int:
    """Guard until the socket is closed. Return 1 if the pool had to be resumed."""
    # A terminal's Ctrl-C is for the reclaim. The guard ends with its socket.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    process = os.pidfd_open(int(words[1]))
    with socket.socket(fileno=int(words[0])) as connection:
        return trio.run(_guard, connection, process, pause_from(words[2:]))


async def _guard(connection: socket.socket, process: int, pause: PoolPause) -> int:
    await pause.is_suspended()  # it loads what a resume needs
    stay_in_memory(last_victim=True)
    _send(connection, READY)
    while announced := await _message(connection):
        _send(connection, ARMED)
        with trio.move_on_after(float(announced)) as limit:
            if await _message(connection) == RESUMED:
                continue
        await _end_of(process)
        await _resume(pause)
        if limit.cancelled_caught:
            print(_TOO_LONG.format(float(announced)), file=sys.stderr)
        return 1
    return 0


def _send(connection: socket.socket, message: bytes) -> None:
    with suppress(ConnectionError):  # the reclaim is gone: the next message is the end
        connection.send(message)


async def _message(connection: socket.socket) -> bytes:
    """Return the next message, or nothing if the reclaim has closed the socket."""
    await trio.lowlevel.wait_readable(connection)
    try:
        return connection.recv(_MESSAGE)
    except ConnectionError:
        return b""


async def _end_of(process: int) -> None:
    """Kill the reclaim and wait for its end. Its last discard ends first.

    The source is block/ioctl.c, blk_ioctl_discard.
    """
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)
    await trio.lowlevel.wait_readable(process)


async def _resume(pause: PoolPause) -> None:
    settled = time.monotonic() + _SETTLED
    while time.monotonic() < settled:
        try:
            if await pause.is_suspended():
                await pause.resume()
                settled = time.monotonic() + _SETTLED
        except DeviceMapperError as error:
            print(f"the pool can't be resumed: {error}", file=sys.stderr)
            return
        await trio.sleep(_LOOK)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""``python -m thinsim.node.reclaim.guard_process`` resumes a pool if its reclaim dies or stops.

Its words are the descriptor of a socket, the process id of the reclaim, and those of the pool's pause. On
the socket the reclaim announces each pause with its longest duration in seconds, and reports its end. If the
reclaim dies in between, the guard resumes the pool. If the pause takes longer, the guard kills the reclaim
first: a discard after the resume could hit a block that the pool has given out again.
"""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence

import trio

from thinsim.errors import DeviceMapperError
from thinsim.node.reclaim.pool_pause import PoolPause, pause_from
from thinsim.node.reclaim.steady_process import stay_in_memory

READY, ARMED, RESUMED = b"ready", b"armed", b"resumed"

_MESSAGE = 64
_SETTLED = 1.0
"""Seconds for which the pool must run: a suspend that the reclaim had asked for may still be in progress."""
_LOOK = 0.02


def main(words: Sequence[str]) -> int:
    """Guard until the socket is closed. Return 1 if the pool had to be resumed."""
    # A terminal's Ctrl-C is for the reclaim. The guard ends with its socket.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    process = os.pidfd_open(int(words[1]))
    pause = pause_from(words[2:])
    with socket.socket(fileno=int(words[0])) as connection:
        stay_in_memory(last_victim=True)
        connection.send(READY)
        while announced := connection.recv(_MESSAGE):
            connection.send(ARMED)
            if not _ends_in_time(connection, float(announced)):
                _await_the_end(process, connection)
                trio.run(_resume, pause)
                return 1
    return 0


def _ends_in_time(connection: socket.socket, seconds: float) -> bool:
    readable, _, _ = select.select([connection], [], [], seconds)
    return bool(readable) and connection.recv(_MESSAGE) == RESUMED


def _await_the_end(process: int, connection: socket.socket) -> None:
    """Kill the reclaim and wait for its end. Its last discard ends first.

    The source is block/ioctl.c, blk_ioctl_discard.
    """
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        return
    select.select([process], [], [])


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

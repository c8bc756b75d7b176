"""These functions keep a process steady while a pool is suspended: in memory, and without interruption.

The process may have its program, its swap or its files on a device of the pool. A read of these would wait
for the pool, and the pool waits for the process.
"""

import ctypes
import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MCL_CURRENT, _MCL_FUTURE = 1, 2
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_NEVER = "-1000"
_STOPPING = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU}
)


def stay_in_memory(*, last_victim: bool = False) -> None:
    """Lock all pages of this process in memory: mlockall(2). Without the privilege it does nothing.

    With *last_victim* the kernel never chooses this process when memory runs out (proc_pid_oom_score_adj(5)).
    """
    ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_FUTURE)
    if last_victim:
        with suppress(OSError):
            _OOM_SCORE.write_text(_NEVER)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back signals that stop or end this thread, and the garbage collector, until the block is left."""
    collecting = gc.isenabled()
    gc.disable()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if collecting:
            gc.enable()

"""`on_own_device` runs I/O on a device that this very process serves, so that a kill ends the process.

Such I/O waits in the kernel for the process itself. After SIGKILL nothing answers it, so its thread never
ends, and while the thread shares the process's descriptors, /dev/fuse stays open: then the kernel never
aborts the mount, and everyone who looks at the device waits as well. A thread without these descriptors
cannot keep the mount alive.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import trio

from fuse_backing.system_calls import leave_the_files_of_the_process

_Result = TypeVar("_Result")


async def on_own_device(function: Callable[..., _Result], /, *arguments: object) -> _Result:
    """Return ``function(*arguments)``, run on a thread of its own without the descriptors of this process.

    The function opens what it needs, and closes it.
    """
    return await trio.to_thread.run_sync(_run_apart, function, arguments)


def _run_apart(function: Callable[..., _Result], arguments: tuple[object, ...]) -> _Result:
    result: Future[_Result] = Future()

    def run() -> None:
        leave_the_files_of_the_process()
        try:
            result.set_result(function(*arguments))
        except BaseException as error:
            result.set_exception(error)

    # A thread cannot take the descriptors back, so each call has a new one. Nobody awaits a daemon at exit.
    threading.Thread(target=run, name="on own device", daemon=True).start()
    return result.result()

"""A `Portal` puts async work behind plain calls: trio runs in a thread of its own, and each call waits.

The caller may run an event loop itself, trio or asyncio. A call holds this loop until it returns. A test that
needs its loop meanwhile makes the call in a thread, for example with ``asyncio.to_thread``.
"""

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Generic, TypeVar

import trio

from thinsim.errors import InvalidValueError, ThinsimError

__tracebackhide__ = True
"""pytest shows a failure at the test's own line."""

_Held = TypeVar("_Held")
_Result = TypeVar("_Result")


class Portal(Generic[_Held]):
    """A `Portal` keeps the async context *opened* open while ``with`` lasts, and raises its errors.

    Calls from several threads follow one another. If Ctrl-C interrupts the caller, its call is cancelled, and
    so is a call that still runs at the end of ``with``.
    """

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[_Held]]) -> None:
        self._opened = opened
        self._thread = threading.Thread(target=self._run, name="thinsim")
        # trio refuses to wait for one event loop in the thread of another, so a thread without a loop waits.
        # There is only one: a measurement would name the wrong step if two calls ran at the same time.
        self._caller = ThreadPoolExecutor(1, thread_name_prefix="thinsim-call")
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event | None = None
        self._held: _Held | None = None
        self._running = trio.CancelScope()
        self._idle = trio.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> "Portal[_Held]":
        self._thread.start()
        self._ready.wait()
        if self._stop is None:
            self._thread.join()
            self._raise_failure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stop is not None and self._token is not None and self._thread.is_alive():
            self._token.run_sync_soon(self._stop.set)
        self._thread.join()
        self._caller.shutdown()
        self._raise_failure()

    @property
    def held(self) -> _Held:
        """Return the object that the context provides."""
        assert self._held is not None, "a portal has an object inside `with` only"
        return self._held

    def call(self, work: Callable[..., Awaitable[_Result]], *arguments: object) -> _Result:
        """Run *work* in the portal's thread and return its result.

        A ThinsimError explains itself, so its traceback of that thread is left out.
        """
        waiting = partial(trio.from_thread.run, self._one, work, *arguments, trio_token=self._token)
        answer = self._caller.submit(waiting)
        try:
            return answer.result()
        except ThinsimError as error:
            raise error.with_traceback(None)  # noqa: B904 (the same error)
        finally:
            if not answer.done() and self._token is not None:
                self._token.run_sync_soon(self._running.cancel)

    async def _one(self, work: Callable[..., Awaitable[_Result]], *arguments: object) -> _Result:
        assert self._stop is not None
        if not self._stop.is_set():
            self._idle = trio.Event()
            try:
                with trio.CancelScope() as self._running:
                    return await work(*arguments)
            finally:
                self._idle.set()
        raise InvalidValueError("the call was interrupted, or the test has ended and its pool with it")

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with self._opened() as self._held:
            self._idle.set()
            self._stop = trio.Event()
            self._ready.set()
            await self._stop.wait()
            self._running.cancel()
            await self._idle.wait()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            while isinstance(failure, BaseExceptionGroup) and len(failure.exceptions) == 1:
                failure = failure.exceptions[0]
            raise failure

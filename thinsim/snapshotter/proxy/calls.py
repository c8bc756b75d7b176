"""`Calls` runs gRPC calls, which arrive on threads, as trio tasks, which can be cancelled.

Each call has one grpcio thread and one task in the nursery. A client that cancels its call or disconnects
cancels the task. A task that still waits for its turn then does nothing; a task that works on a device
finishes or undoes its work. The thread always waits for the end of its task: when the last thread has
ended, the last verb has ended.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import grpc
import trio

from thinsim.errors import ThinsimError
from thinsim.snapshotter.proxy.status_codes import code_of

log = logging.getLogger(__name__)

_LONGEST_TEXT = 4096  # gRPC sends a status in a header, and the client limits the header's length
_Response = TypeVar("_Response")


class _CallEndedError(Exception):
    """The call was cancelled before its verb ended, so no client waits for an answer."""


class Calls:
    """A `Calls` runs verbs in *nursery*, which must stay open until gRPC's last thread has ended."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()

    def answer(
        self, verb: str, act: Callable[[Any], Awaitable[_Response]], request: Any, call: grpc.ServicerContext
    ) -> _Response:
        """Run *act* on *request* and return its response; end the call with a status if it fails.

        Must be called from a gRPC thread.
        """
        answer: Future[_Response] = Future()
        scope = trio.CancelScope()
        begun = time.monotonic()
        # gRPC runs the callback at every end of a call; cancelling a scope that has ended does nothing.
        if not call.add_callback(partial(self._soon, scope.cancel)):
            scope.cancel()
        self._soon(self._nursery.start_soon, _run, act, request, scope, answer)
        try:
            response = answer.result()
        except Exception as error:
            code, text = _status_of(error)
            log.info("%s %s: %s: %s", verb, _named(request), code.name, text[:_LONGEST_TEXT])
            call.abort(code, text[:_LONGEST_TEXT])
        log.info("%s %s: %.3f s", verb, _named(request), time.monotonic() - begun)
        return response

    def _soon(self, act: Callable[..., object], *arguments: object) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(act, *arguments)


async def _run(
    act: Callable[[Any], Awaitable[_Response]],
    request: Any,
    scope: trio.CancelScope,
    answer: "Future[_Response]",
) -> None:
    try:
        with scope:
            await trio.lowlevel.checkpoint_if_cancelled()
            answer.set_result(await act(request))
    except Exception as error:  # the thread sends it to the client
        answer.set_exception(error)
    finally:
        if not answer.done():
            answer.set_exception(_CallEndedError("the call was cancelled"))


def _status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, _CallEndedError):
        return grpc.StatusCode.CANCELLED, str(error)
    if isinstance(error, ThinsimError):
        notes = getattr(error, "__notes__", ())
        return code_of(error), "; ".join([str(error), *notes])
    log.error("a call failed unexpectedly", exc_info=error)
    return code_of(error), f"{type(error).__name__}: {error}"


def _named(request: Any) -> str:
    """Return the fields that identify a request in the log."""
    words = (
        f"{name}={getattr(request, name)}"
        for name in ("key", "name", "parent", "filters")
        if getattr(request, name, None)
    )
    return " ".join(words)[:_LONGEST_TEXT]

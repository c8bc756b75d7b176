"""A portal's calls follow one another, and an interrupted call ends."""

import os
import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
import trio

from thinsim.errors import InvalidValueError
from thinsim.testing.portal import Portal

SECONDS = 60


class Resource:
    """A `Resource` records the calls that run in it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = False
        self.open = True
        self.inside = 0

    async def wait(self) -> None:
        self.begun.set()
        try:
            await trio.sleep(SECONDS)
        except trio.Cancelled:
            self.cancelled = True
            assert self.open
            raise

    async def alone(self) -> int:
        self.inside += 1
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        most, self.inside = self.inside, self.inside - 1
        return most


@asynccontextmanager
async def opened() -> AsyncIterator[Resource]:
    resource = Resource()
    yield resource
    resource.open = False


def test_a_call_works_while_trio_runs_in_the_caller_s_thread() -> None:
    async def main() -> int:
        with Portal(opened) as portal:
            return portal.call(portal.held.alone)

    assert trio.run(main) == 1


def test_calls_from_several_threads_follow_one_another() -> None:
    with Portal(opened) as portal, ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(portal.call, portal.held.alone) for _ in range(20)]
        assert {call.result() for call in calls} == {1}


def test_ctrl_c_cancels_the_call_and_the_next_one_works() -> None:
    with Portal(opened) as portal:
        resource = portal.held

        def interrupt() -> None:
            resource.begun.wait(SECONDS)
            os.kill(os.getpid(), signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            portal.call(resource.wait)
        interrupting.join()
        assert portal.call(resource.alone) == 1
    assert resource.cancelled


def test_the_end_cancels_a_call_of_another_thread_before_it_closes_the_resource() -> None:
    with ThreadPoolExecutor(1) as threads:
        with Portal(opened) as portal:
            resource = portal.held
            call = threads.submit(portal.call, resource.wait)
            assert resource.begun.wait(SECONDS)
        with pytest.raises(InvalidValueError, match="the test has ended"):
            call.result()
    assert resource.cancelled

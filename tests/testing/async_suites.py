"""Each `AsyncSuite` is one plugin that runs async tests, with the same small suite in its own words."""

from dataclasses import dataclass

_SUITE = """
import threading

import pytest
{imports}

{mark_fixture}
async def base(snapshotter):
    snapshotter.import_layers("base", 1, "1MiB")
    return "base-1"


{mark}
@pytest.mark.no_leak
@pytest.mark.snapshotter(discard_blocks=True, base_image_size="64MiB")
async def test_plain_calls_work_while_the_loop_runs(base, snapshotter, thin_pool, backing_store):
    snapshotter.prepare("web", base)
    snapshotter.write("web", "1MiB")
    await {sleep}(0)
    assert backing_store.allocated >= 2 << 20
    snapshotter.remove("web")
    assert thin_pool.status.mode == "rw"


{mark}
@pytest.mark.snapshotter(base_image_size="64MiB")
async def test_the_loop_runs_during_a_call_in_a_thread(snapshotter):
    loop_runs = threading.Event()

    def prepare():
        assert loop_runs.wait(60), "the call held the loop"
        return snapshotter.prepare("web")

    async def run():
        loop_runs.set()

    {both}
    assert snapshotter.names() == ["web"]


{mark}
@pytest.mark.snapshotter(base_image_size="64MiB")
async def test_an_error_has_its_class(snapshotter):
    with pytest.raises(Exception, match="snapshot 'gone' does not exist"):
        snapshotter.remove("gone")
    with pytest.raises(Exception, match="snapshot 'gone' does not exist"):
        await {to_thread}(snapshotter.remove, "gone")


{mark}
async def test_a_pool_may_begin_inside_of_the_loop(request):
    assert request.getfixturevalue("thin_pool").used == 0


{mark}
@pytest.mark.no_leak
@pytest.mark.snapshotter(base_image_size="64MiB")
async def test_leaks(snapshotter):
    snapshotter.prepare("web")
    snapshotter.remove("web")
"""

_IN_NURSERY = """async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, prepare)
        nursery.start_soon(run)"""
_IN_GROUP = """async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, prepare)
        group.start_soon(run)"""


@dataclass(frozen=True)
class AsyncSuite:
    """An `AsyncSuite` is a plugin that runs async tests. *alone* keeps pytest from loading the others."""

    alone: tuple[str, ...]
    imports: str
    mark: str
    sleep: str
    to_thread: str
    both: str
    mark_fixture: str = "@pytest.fixture"

    @property
    def text(self) -> str:
        """Return the file of tests."""
        words = ("imports", "mark", "mark_fixture", "sleep", "to_thread", "both")
        return _SUITE.format(**{word: getattr(self, word) for word in words})


def _anyio(backend: str) -> AsyncSuite:
    fixture = f"@pytest.fixture\ndef anyio_backend():\n    return {backend!r}"
    return AsyncSuite(
        alone=("-p", "no:trio", "-p", "no:asyncio"),
        imports=f"import anyio\nimport anyio.to_thread\n\n\n{fixture}",
        mark="@pytest.mark.anyio",
        sleep="anyio.sleep",
        to_thread="anyio.to_thread.run_sync",
        both=_IN_GROUP,
    )


SUITES = {
    "pytest-trio": AsyncSuite(
        alone=("-p", "no:anyio", "-p", "no:asyncio"),
        imports="import trio",
        mark="@pytest.mark.trio",
        sleep="trio.sleep",
        to_thread="trio.to_thread.run_sync",
        both=_IN_NURSERY,
    ),
    "anyio on trio": _anyio("trio"),
    "anyio on asyncio": _anyio("asyncio"),
    "pytest-asyncio": AsyncSuite(
        alone=("-p", "no:anyio", "-p", "no:trio", "-o", "asyncio_default_fixture_loop_scope=function"),
        imports="import asyncio\n\nimport pytest_asyncio",
        mark="@pytest.mark.asyncio",
        sleep="asyncio.sleep",
        to_thread="asyncio.to_thread",
        both="await asyncio.gather(asyncio.to_thread(prepare), run())",
        mark_fixture="@pytest_asyncio.fixture",
    ),
}

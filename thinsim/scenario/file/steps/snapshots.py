"""`PrepareStep` calls the snapshotter, as most steps here do; `CrashStep` kills it during a call."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from thinsim.scenario.file.steps.step import Act, RunningVariant, Step


class PrepareStep(Act):
    """A `prepare` step makes an active snapshot."""

    do: Literal["prepare"]
    key: str
    parent: str = ""

    async def act(self, run: RunningVariant) -> None:
        await run.session.prepare(self.key, self.parent)


class ViewStep(Act):
    """A `view` step makes a read-only snapshot."""

    do: Literal["view"]
    key: str
    parent: str

    async def act(self, run: RunningVariant) -> None:
        await run.session.view(self.key, self.parent)


class CommitStep(Act):
    """A `commit` step turns an active snapshot into a committed one."""

    do: Literal["commit"]
    key: str
    name: str

    async def act(self, run: RunningVariant) -> None:
        await run.session.commit(self.name, self.key)


class RemoveStep(Act):
    """A `remove` step removes a snapshot."""

    do: Literal["remove"]
    key: str

    async def act(self, run: RunningVariant) -> None:
        await run.session.remove(self.key)


class CleanupStep(Act):
    """A `cleanup` step calls the snapshotter's cleanup, as containerd's garbage collector does."""

    do: Literal["cleanup"]

    async def act(self, run: RunningVariant) -> None:
        await run.session.cleanup()


class RestartStep(Act):
    """A `restart` step closes the snapshotter, unless it crashed, and opens it on the metadata on disk."""

    do: Literal["restart"]

    async def act(self, run: RunningVariant) -> None:
        await run.session.restart()


class CrashStep(Step):
    """A `crash` step kills the snapshotter, as kill -9 would, during the call *during*.

    *at* is an act on a device; ``create`` and ``delete`` are messages to the pool.
    """

    do: Literal["crash"]
    during: Literal["prepare", "commit", "remove", "cleanup"]
    key: str = ""
    parent: str = ""
    name: str = ""
    when: Literal["before", "after"]
    at: Literal["mkfs", "create", "activate", "suspend", "resume", "discard", "deactivate", "delete"]

    async def take(self, run: RunningVariant) -> None:
        snapshotter = run.session.snapshotter
        verbs: dict[str, Callable[[], Awaitable[object]]] = {
            "prepare": partial(snapshotter.prepare, self.key, self.parent),
            "commit": partial(snapshotter.commit, self.name, self.key),
            "remove": partial(snapshotter.remove, self.key),
            "cleanup": snapshotter.cleanup,
        }
        name = f"crash {self.when} {self.at} in {self.during} {self.key}".rstrip()
        with run.failing_by_phase():
            await run.session.crash(name, self.when, self.at, verbs[self.during])

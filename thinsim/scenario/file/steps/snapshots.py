"""These steps are verbs of the snapshotter, and its crash in the midst of one."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from thinsim.scenario.file.steps.step import Act, RunningVariant, Step


class PrepareStep(Act):
    """Make an active snapshot."""

    do: Literal["prepare"]
    key: str
    parent: str = ""

    async def act(self, run: RunningVariant) -> None:
        """Prepare it."""
        await run.session.prepare(self.key, self.parent)


class ViewStep(Act):
    """Make a read-only snapshot."""

    do: Literal["view"]
    key: str
    parent: str

    async def act(self, run: RunningVariant) -> None:
        """Make the view."""
        await run.session.view(self.key, self.parent)


class CommitStep(Act):
    """Turn an active snapshot into a committed one."""

    do: Literal["commit"]
    key: str
    name: str

    async def act(self, run: RunningVariant) -> None:
        """Commit it."""
        await run.session.commit(self.name, self.key)


class RemoveStep(Act):
    """Remove a snapshot."""

    do: Literal["remove"]
    key: str

    async def act(self, run: RunningVariant) -> None:
        """Remove it."""
        await run.session.remove(self.key)


class CleanupStep(Act):
    """Call the snapshotter's cleanup, as containerd's collector does."""

    do: Literal["cleanup"]

    async def act(self, run: RunningVariant) -> None:
        """Clean up."""
        await run.session.cleanup()


class RestartStep(Act):
    """Start the snapshotter again on what is on disk: after a crash, or close it first."""

    do: Literal["restart"]

    async def act(self, run: RunningVariant) -> None:
        """Start it again."""
        await run.session.restart()


class CrashStep(Step):
    """End the snapshotter, as kill -9 would, in the midst of a verb.

    *at* is what it does to a device; ``create`` and ``delete`` are messages to the pool.
    """

    do: Literal["crash"]
    during: Literal["prepare", "commit", "remove", "cleanup"]
    key: str = ""
    parent: str = ""
    name: str = ""
    when: Literal["before", "after"]
    at: Literal["mkfs", "create", "activate", "suspend", "resume", "discard", "deactivate", "delete"]

    async def take(self, run: RunningVariant) -> None:
        """Call the verb, and end the snapshotter where *when* and *at* say."""
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

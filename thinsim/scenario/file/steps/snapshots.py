"""`PrepareStep` calls the snapshotter, as most steps here do; `CrashStep` kills it during a call."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from thinsim.scenario.file.known_snapshots import KnownSnapshots, Refusal
from thinsim.scenario.file.steps.step import Act, RunningVariant, Step
from thinsim.snapshotter.interface import Kind


class PrepareStep(Act):
    """Create an active snapshot."""

    do: Literal["prepare"]
    key: str
    """The key of the new active snapshot."""
    parent: str = ""
    """The committed snapshot that it builds on; empty for none."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.prepare(self.key, self.parent)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_creation(self.key, self.parent)

    def expect(self, known: KnownSnapshots) -> None:
        known.create(Kind.ACTIVE, self.key, self.parent)


class ViewStep(Act):
    """Create a read-only snapshot."""

    do: Literal["view"]
    key: str
    """The key of the new view."""
    parent: str
    """The committed snapshot that it shows."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.view(self.key, self.parent)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_creation(self.key, self.parent)

    def expect(self, known: KnownSnapshots) -> None:
        known.create(Kind.VIEW, self.key, self.parent)


class CommitStep(Act):
    """A `commit` step turns an active snapshot into a committed one."""

    do: Literal["commit"]
    key: str
    """The key of the active snapshot."""
    name: str
    """The name of the committed snapshot."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.commit(self.name, self.key)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_commit(self.name, self.key)

    def expect(self, known: KnownSnapshots) -> None:
        known.commit(self.name, self.key)


class RemoveStep(Act):
    """A `remove` step removes a snapshot."""

    do: Literal["remove"]
    key: str
    """The key or name of the snapshot."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.remove(self.key)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_removal(self.key)

    def expect(self, known: KnownSnapshots) -> None:
        known.remove(self.key)


class CleanupStep(Act):
    """A `cleanup` step calls the snapshotter's cleanup, as containerd's garbage collector does."""

    do: Literal["cleanup"]

    async def act(self, run: RunningVariant) -> None:
        await run.session.cleanup()


class RestartStep(Act):
    """Open the snapshotter again on its files: after a crash, or after closing it."""

    do: Literal["restart"]

    async def act(self, run: RunningVariant) -> None:
        await run.session.restart()

    @property
    def needs_snapshotter(self) -> bool:
        return False

    def expect(self, known: KnownSnapshots) -> None:
        known.down = False


class CrashStep(Step):
    """End the snapshotter in the middle of a verb, as `kill -9` would.

    Its files stay as they are at that instant. `restart` opens it again.
    """

    do: Literal["crash"]
    during: Literal["prepare", "commit", "remove", "cleanup"]
    """The verb that is called."""
    key: str = ""
    """The verb's `key`."""
    parent: str = ""
    """The verb's `parent`, for `prepare`."""
    name: str = ""
    """The verb's `name`, for `commit`."""
    when: Literal["before", "after"]
    """The side of the act `at` on which the snapshotter ends."""
    at: Literal["mkfs", "create", "activate", "suspend", "resume", "discard", "deactivate", "delete"]
    """The act on a device at which the snapshotter ends. `create` and `delete` are messages to the pool."""

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

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        match self.during:
            case "prepare":
                return known.refuse_creation(self.key, self.parent)
            case "commit":
                return known.refuse_commit(self.name, self.key)
            case "remove":
                return known.refuse_removal(self.key)
        return None

    def expect(self, known: KnownSnapshots) -> None:
        before = known.copy()
        match self.during:
            case "prepare":
                known.create(Kind.ACTIVE, self.key, self.parent)
            case "commit":
                known.commit(self.name, self.key)
            case "remove":
                known.remove(self.key)
        # The crash may come before or after the write to the store.
        known.doubt_since(before)
        known.down = True

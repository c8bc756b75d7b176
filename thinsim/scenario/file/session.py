"""A `ScenarioSession` drives one snapshotter on one rig and measures every act.

Scenario files and the pytest plugin are built on it.
"""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio

from fuse_backing.events import LedgerEvent
from fuse_backing.faults import FaultPlan
from thinsim.errors import InvalidValueError
from thinsim.measure.attribution import Leak
from thinsim.measure.discard_clock import DiscardClock
from thinsim.measure.sample import StepSample
from thinsim.node.reclaim.rounds import ReclaimOptions
from thinsim.rig.interface import Rig
from thinsim.rig.registry import find_rig
from thinsim.scenario.file.interception import (
    Interception,
    InterceptionPlan,
    SnapshotterKilledError,
    When,
    watched,
)
from thinsim.scenario.measured_steps import MeasuredSteps
from thinsim.scenario.progress import StepProgress
from thinsim.scenario.reclaiming import reclaim_pool
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.interface import Mount
from thinsim.snapshotter.retry import RetryRules
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter
from thinsim.workload.image.archive import Image

_Result = TypeVar("_Result")


class ScenarioSession:
    """A `ScenarioSession` measures each of its verbs as one step of the phase *phase*.

    :func:`session` opens it. While the snapshotter is down, every verb but ``restart`` raises
    InvalidValueError.
    """

    def __init__(
        self,
        rig: Rig,
        config: Config,
        retry: RetryRules,
        progress: StepProgress,
        clock: DiscardClock | None = None,
    ) -> None:
        self.rig = rig
        self.config = config
        self.phase = ""
        self.interception = Interception(clock or DiscardClock())
        self.write_seconds = 0.0
        """The time that writing files took."""
        self._retry = retry
        self._steps = MeasuredSteps(rig, progress)
        self._snapshotter: DevmapperSnapshotter | None = None
        self._held: dict[str, Callable[[], None]] = {}

    @property
    def samples(self) -> Sequence[StepSample]:
        """Return the measurements, one sample per step."""
        return self._steps.meter.samples

    @property
    def events(self) -> Sequence[LedgerEvent]:
        """Return the store's events on the data file."""
        return self._steps.store_events

    @property
    def started(self) -> float:
        """Return the start of the session, in seconds since the epoch."""
        return self._steps.started

    @property
    def seconds(self) -> dict[str, float]:
        """Return the seconds of each phase, and of ``measuring``."""
        return self._steps.seconds

    @property
    def fs_type(self) -> str:
        """Return the type of the file systems in the snapshots; it is empty if the rig simulates one."""
        return self.config.fs_type if find_rig(self.rig.name).mounts else ""

    @property
    def snapshotter(self) -> DevmapperSnapshotter:
        """Return the snapshotter itself, for calls that are not measured."""
        if self._snapshotter is None:
            raise InvalidValueError("the snapshotter is down; restart it first")
        return self._snapshotter

    def leaks(self) -> list[Leak]:
        """Return the leaks after the last step, largest first."""
        return self._steps.meter.leaks()

    async def snapshots(self) -> list[str]:
        """Return the names in the snapshotter's store, sorted."""
        return [info.name async for info in self.snapshotter.walk()]

    async def start(self) -> None:
        """Open the snapshotter on the metadata on disk, as the first step."""
        await self._take("start snapshotter", self._open)

    async def prepare(self, key: str, parent: str = "") -> list[Mount]:
        return await self._take(f"prepare {key}", partial(self.snapshotter.prepare, key, parent))

    async def view(self, key: str, parent: str = "") -> list[Mount]:
        return await self._take(f"view {key}", partial(self.snapshotter.view, key, parent))

    async def commit(self, name: str, key: str) -> None:
        await self._take(f"commit {name}", partial(self.snapshotter.commit, name, key))

    async def remove(self, key: str) -> None:
        await self._take(f"remove {key}", partial(self.snapshotter.remove, key))

    async def cleanup(self) -> None:
        await self._take("cleanup", self.snapshotter.cleanup)

    async def write(self, key: str, name: str, size: int) -> None:
        """Write *size* bytes of new files, *name*, in active snapshot *key*."""
        work = partial(self.rig.files.write, name=name, size=size)
        await self._write(f"write {name} in {key}", key, work)

    async def overwrite(self, key: str, name: str, size: int) -> None:
        """Overwrite the first *size* bytes of *name*."""
        work = partial(self.rig.files.overwrite, name=name, size=size)
        await self._write(f"overwrite {name} in {key}", key, work)

    async def run_container(self, key: str, size: int) -> None:
        """Work in snapshot *key* as a container that leaves *size* bytes."""
        await self._write(f"run {key}", key, partial(self.rig.files.run_container, size=size))

    async def delete(self, key: str, name: str) -> None:
        """Delete the files *name* in active snapshot *key*."""
        await self._on_mounts(f"delete {name} in {key}", key, partial(self.rig.files.delete, name=name))

    async def reclaim(self) -> None:
        """Free on the host what the pool has freed; see ``thinsim reclaim``."""
        await self._take("reclaim", partial(reclaim_pool, self.rig, ReclaimOptions()))

    async def trim(self, key: str) -> None:
        """Run fstrim on active snapshot *key*."""
        await self._on_mounts(f"trim {key}", key, self.rig.files.trim)

    async def import_layers(self, name: str, layers: int, size: int, parent: str = "") -> list[str]:
        """Import an image of generated files; return the committed names, bottom first."""

        async def fill(number: int, layer: str, key: str) -> None:
            await self.write(key, layer, size * number // layers - size * (number - 1) // layers)

        return await self._import(name, layers, parent, fill)

    async def import_image(self, name: str, image: Image, parent: str = "") -> list[str]:
        """Import *image*; return the committed names, bottom first."""

        async def fill(number: int, layer: str, key: str) -> None:
            unpack = partial(self.rig.files.unpack, image=image, number=number)
            await self._write(f"unpack {layer}", key, unpack)

        return await self._import(name, len(image.layers), parent, fill)

    async def hold(self, key: str, until: str = "") -> None:
        """Keep the device of *key* open until ``release``, or until right before the act *until* on it."""
        device = self.snapshotter.device_of(key).name
        self._held[key] = await self.rig.files.claim(self.rig.dm.path(device))
        if until:
            plan = InterceptionPlan(
                "before", until, device if until != "delete" else "", partial(self._let_go, key)
            )
            self.interception.plans.append(plan)

    def release(self, key: str) -> None:
        """Close the device that ``hold`` keeps open. InvalidValueError if it is not held."""
        if key not in self._held:
            raise InvalidValueError(f"the device of {key!r} is not held")
        self._let_go(key)

    async def set_faults(self, plan: FaultPlan) -> None:
        """Replace the planned faults of the store by *plan*."""
        await self.rig.set_faults(plan)

    async def crash(self, name: str, when: When, act: str, verb: Callable[[], Awaitable[object]]) -> None:
        """Call *verb*, and kill the snapshotter *when*, before or after *act*, as SIGKILL would.

        The files on disk stay as they are at that instant; no error handler of the snapshotter runs.
        InvalidValueError if *verb* ends without *act*.
        """
        root, frozen = self.config.root_path, self.config.root_path.with_name("crashed")

        def kill() -> None:
            # SQLite creates the shared-memory file again, and does not read uncommitted parts of the log.
            shutil.copytree(root, frozen, ignore=shutil.ignore_patterns("*-shm"))
            self.interception.killed = True

        async def act_until_killed() -> None:
            snapshotter = self.snapshotter
            self.interception.plans.append(InterceptionPlan(when, act, "", kill))
            try:
                await verb()
                if not self.interception.killed:
                    raise InvalidValueError(f"{name}: there was no {act} to crash {when}")
            except SnapshotterKilledError:
                pass
            finally:
                self.interception.plans.clear()
            with trio.CancelScope(shield=True):
                await snapshotter.close()
            self._down()
            shutil.rmtree(root)
            frozen.rename(root)

        await self._take(name, act_until_killed)

    async def measure(self) -> None:
        """Take a sample without an act; it shows changes to the pool from outside the session."""
        await self._take("measure", trio.lowlevel.checkpoint)

    async def restart(self) -> None:
        """Close the snapshotter, if it is open, and open it on the metadata on disk."""

        async def again() -> None:
            await self._close()
            self.interception.killed = False
            await self._open()

        await self._take("restart", again)

    async def reboot(self) -> None:
        """Close the snapshotter, remove its devices as a reboot does, and open it again."""

        async def again() -> None:
            await self._close()
            pool = self.rig.shape.name
            for name in await self.rig.dm.list():
                if name.startswith(f"{pool}-snap-"):
                    await self.rig.dm.remove(name, retry=True)
            await self._open()

        await self._take("reboot", again)

    async def end(self) -> None:
        """Close every held device and the snapshotter. Idempotent."""
        for key in list(self._held):
            self._let_go(key)
        await self._close()

    async def _open(self) -> None:
        dm, host = watched(self.rig.dm, self.rig.host, self.interception)
        self._snapshotter = await DevmapperSnapshotter.open(
            self.config,
            dm,
            host,
            observer=self._steps.device_events.append,
            retry=self._retry,
            open_metadata=self.rig.open_metadata,
        )
        self._steps.snapshotter = self._snapshotter

    async def _close(self) -> None:
        if self._snapshotter is not None:
            with trio.CancelScope(shield=True):
                await self._snapshotter.close()
            self._down()

    def _down(self) -> None:
        self._snapshotter = self._steps.snapshotter = None

    def _let_go(self, key: str) -> None:
        if key in self._held:
            self._held.pop(key)()

    async def _import(
        self, name: str, layers: int, parent: str, fill: Callable[[int, str, str], Awaitable[None]]
    ) -> list[str]:
        names: list[str] = []
        for number in range(1, layers + 1):
            layer, key = f"{name}-{number}", f"extract-{name}-{number}"
            await self.prepare(key, names[-1] if names else parent)
            await fill(number, layer, key)
            await self.commit(layer, key)
            names.append(layer)
        return names

    async def _write(self, step: str, key: str, work: Callable[..., Awaitable[int]]) -> None:
        mounts = await self.snapshotter.mounts(key)
        await self._take(step, self._steps.writing(partial(work, mounts)))
        self.write_seconds += self.samples[-1].seconds

    async def _on_mounts(self, step: str, key: str, work: Callable[..., Awaitable[None]]) -> None:
        mounts = await self.snapshotter.mounts(key)
        await self._take(step, partial(work, mounts))

    async def _take(self, step: str, act: Callable[[], Awaitable[_Result]]) -> _Result:
        """Carry out one step and measure it. A refusal is raised after the measurement."""
        refusal: Exception | None = None

        async def and_note() -> Any:
            nonlocal refusal
            try:
                return await act()
            except Exception as error:
                refusal = error
                return None

        result = await self._steps.take(self.phase, step, and_note)
        if refusal is not None:
            raise refusal
        return result  # type: ignore[no-any-return]


@asynccontextmanager
async def session(
    rig: Rig,
    keys: Mapping[str, Any],
    retry: RetryRules,
    progress: StepProgress,
    root: Path,
    clock: DiscardClock | None = None,
) -> AsyncIterator[ScenarioSession]:
    """Yield a session on *rig*, and close it at the end.

    *keys* are those of the snapshotter's configuration; *root* is its directory. *clock* times the discards.
    """
    config = Config.from_table({**keys, "root_path": str(root), "pool_name": rig.shape.name})
    opened = ScenarioSession(rig, config, retry, progress, clock)
    try:
        yield opened
    finally:
        await opened.end()

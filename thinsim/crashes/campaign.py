"""Kills the snapshotter before each step of each operation, starts it again, repairs, and judges."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import trio

from fuse_backing.sparsefile import SparseFile
from thinsim.crashes.judging import contents, judge, use_again
from thinsim.crashes.operations import OPERATIONS, Operation
from thinsim.crashes.stage import Stage, standing
from thinsim.crashes.state import State, in_words, look
from thinsim.crashes.victim import Request
from thinsim.crashes.victims import Victims
from thinsim.errors import BenchError, ThinsimError
from thinsim.rig.journal import Journal, read_journal
from thinsim.rig.recovery import recover
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.interface import Kind
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

PROFILES = ("containerd", "fixed")

_BASE_IMAGE_SIZE = "64MiB"
_COMMANDS = ("mkfs", "discard", "mount", "unmount")
_NUMBERS: Mapping[str, int] = {"base": 1, "layer": 2, "running": 3, "leaving": 4, "top": 5}
"""Which content each snapshot adds."""
_KILLED = -9


@dataclass(frozen=True, slots=True)
class Crash:
    """One kill and what came of it: before *step*, counted from 1, or with *during* in its midst."""

    operation: str
    profile: str
    number: int
    step: str
    during: bool
    after_restart: str
    after_repair: str
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Uncut:
    """The operation without a crash: its steps, the states before and after it, and after a repair."""

    steps: Sequence[str]
    before: State
    after: State
    repaired: State


class Campaign:
    """Crashes on one rig, everything below *directory*, which exists; *victims* are killed."""

    def __init__(self, rig: str, directory: Path, journal: Journal, victims: Victims) -> None:
        self._rig = rig
        self._directory = directory
        self._journal = journal
        self._victims = victims
        self._known_steps: dict[tuple[str, str], Sequence[str]] = {}
        self._stage: Stage | None = None
        self._standing = AsyncExitStack()
        self._cases = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._standing.__aexit__(kind, error, trace)

    async def run(self, operation: Operation, profile: str, tell: Callable[[Crash], None]) -> Sequence[Crash]:
        """Kill *operation* before each of its steps; *tell* gets each crash when it has been judged.

        BenchError if it does not do without a crash what it is to do.
        """
        uncut = await self._uncut(operation, profile)
        crashes = []
        for number, step in enumerate(uncut.steps, 1):
            for during in (False, True) if self._has_midst(step) else (False,):
                crash = await self._crash(operation, profile, uncut, number, during=during)
                tell(crash)
                crashes.append(crash)
        return crashes

    def _has_midst(self, step: str) -> bool:
        return self._rig == "emulated" and step.split(maxsplit=1)[0] in _COMMANDS

    async def _steps(self, operation: Operation, profile: str) -> Sequence[str]:
        known = self._known_steps
        if (operation.name, profile) not in known:
            known[operation.name, profile] = (await self._uncut(operation, profile)).steps
        return known[operation.name, profile]

    async def _uncut(self, operation: Operation, profile: str) -> _Uncut:
        async with self._case(operation, profile) as case:
            before = await case.state()
            steps = await case.kill(self._victims, 0, during=False)
            await case.let_go()
            after = await case.state()
            async with case.opened() as snapshotter:
                await snapshotter.repair()
                repaired = await case.state()
                case.empty = not await use_again(case.stage, case.config, snapshotter, operation)
                return _Uncut(steps, before, after, repaired)

    async def _crash(
        self, operation: Operation, profile: str, uncut: _Uncut, number: int, *, during: bool
    ) -> Crash:
        finding = partial(Crash, operation.name, profile, number, uncut.steps[number - 1], during)
        async with self._case(operation, profile) as case:
            await case.kill(self._victims, number, during=during)
            restarted = repaired = ""
            try:
                async with case.opened() as snapshotter:
                    restarted = in_words(await case.state(), uncut.before, uncut.after)
                    await case.let_go()
                    report = await snapshotter.repair()
                    repaired = in_words(await case.state(), uncut.before, uncut.after)
                    problems = await judge(
                        case.stage,
                        case.config,
                        operation,
                        report,
                        allowed=(uncut.before, uncut.after, uncut.repaired),
                        known=case.known,
                    )
                    again = await snapshotter.repair()
                    problems += [f"repaired twice: {each.subject}: {each.found}" for each in again.repaired]
                    in_the_end = await use_again(case.stage, case.config, snapshotter, operation)
                    problems += in_the_end
                    case.empty = not in_the_end
            except ThinsimError as error:
                problems = [f"{'repair' if restarted else 'the start'} fails: {error}"]
        return finding(restarted, repaired, problems)

    @asynccontextmanager
    async def _case(self, operation: Operation, profile: str) -> AsyncIterator["_Case"]:
        """An empty pool with the world that the operation finds; a new one after a case that went wrong."""
        steps_of = {name: await self._steps(OPERATIONS[name], profile) for name, _ in operation.crashes}
        self._cases += 1
        directory = self._directory / f"case-{self._cases}"
        directory.mkdir()
        if self._stage is None:
            place = self._directory / f"pool-{self._cases}"
            place.mkdir()
            self._stage = await self._standing.enter_async_context(
                standing(self._rig, place, self._journal, f"{self._journal.path.stem}-{self._cases}")
            )
        else:
            _punch(self._stage.data_file)
        async with AsyncExitStack() as held:
            case = _Case(self._stage, directory, operation, profile, held)
            await case.arrange(self._victims, steps_of)
            yield case
        shutil.rmtree(directory)
        if not case.empty:
            self._stage = None
            await self._standing.aclose()


def _punch(file: Path) -> None:
    """Give back what the case before has leaked: nothing is mapped."""
    fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        data = SparseFile(fd)
        data.punch(0, data.size)
    finally:
        os.close(fd)


class _Case:
    """One pool, the snapshotter on it, and its operation."""

    def __init__(
        self, stage: Stage, directory: Path, operation: Operation, profile: str, held: AsyncExitStack
    ) -> None:
        self.stage = stage
        self._directory = directory
        self._operation = operation
        self._held = held
        self.config = Config.from_table(
            {
                "root_path": str(directory / "snapshotter"),
                "pool_name": stage.rig.shape.name,
                "base_image_size": _BASE_IMAGE_SIZE,
                "discard_blocks": True,
                "profile": profile,
                **operation.flags,
            }
        )
        self._victims_run = 0
        self.empty = False
        """Whether the pool was seen to be empty in the end."""
        self.known: Mapping[str, str] = {}
        """The contents before anything is cut short."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[DevmapperSnapshotter]:
        """Open the snapshotter in this process."""
        rig = self.stage.rig
        snapshotter = await DevmapperSnapshotter.open(
            self.config, rig.dm, rig.host, open_metadata=rig.open_metadata
        )
        try:
            yield snapshotter
        finally:
            await snapshotter.close()

    async def state(self) -> State:
        """Look at everything."""
        return await look(self.stage, self.config)

    async def arrange(self, victims: Victims, steps_of: Mapping[str, Sequence[str]]) -> None:
        """Make the world that the operation finds; *steps_of* operations that are cut short before it."""
        operation = self._operation
        async with self.opened() as snapshotter:
            for name, parent, kind in (
                ("base", "", Kind.COMMITTED),
                ("layer", "base", Kind.COMMITTED),
                ("running", "layer", Kind.ACTIVE),
                ("leaving", "layer", Kind.ACTIVE),
                ("top", "layer", Kind.COMMITTED),
            ):
                key = name if kind is Kind.ACTIVE else f"{name}-key"
                await snapshotter.prepare(key, parent)
                device = snapshotter.device_of(key).name
                await self.stage.write(device, _NUMBERS[name])
                if name == operation.holds:
                    await self._held.enter_async_context(self.stage.rig.holding_open(device))
                if kind is Kind.COMMITTED:
                    await snapshotter.commit(name, key)
            await operation.arrange(snapshotter)
        self.known = await contents(self.stage, await self.state())
        for name, step in operation.crashes:
            await self._cut_short(victims, OPERATIONS[name], step, steps_of[name])
        if operation.rebooted:
            dm = self.stage.rig.dm
            for node in await dm.list():
                if node != self.stage.rig.shape.name:
                    await dm.remove(node)

    async def let_go(self) -> None:
        """Close the device that somebody had open, and wait until what waited for that has happened."""
        await self._held.aclose()
        dm = self.stage.rig.dm
        with trio.move_on_after(5):
            for node in await dm.list():
                while node in await dm.list() and (await dm.info(node)).deferred_remove:
                    await trio.sleep(0.01)

    async def kill(self, victims: Victims, die_at: int, *, during: bool) -> Sequence[str]:
        """Let a victim do the operation and die; return the steps that it had begun."""
        return await self._run(victims, self._operation, die_at, during=during)

    async def _cut_short(
        self, victims: Victims, operation: Operation, beginning: str, steps: Sequence[str]
    ) -> None:
        """Kill *operation*, whose *steps* these are, before the one that begins so."""
        number = next(n for n, step in enumerate(steps, 1) if step.startswith(beginning))
        trail = await self._run(victims, operation, number)
        if not trail[-1].startswith(beginning):
            raise BenchError(f"{operation.name!r} was to die before {beginning!r}, not {trail[-1]!r}")

    async def _run(
        self, victims: Victims, operation: Operation, die_at: int, *, during: bool = False
    ) -> Sequence[str]:
        self._victims_run += 1
        place = self._directory / f"victim-{self._victims_run}"
        place.mkdir()
        (place / "config.toml").write_text(self.config.to_toml())
        status = await victims.run(
            Request(
                operation=operation.name,
                config=str(place / "config.toml"),
                socket=str(self.stage.socket),
                metadata_file=self.stage.metadata_file,
                trail=str(place / "trail"),
                state=str(place),
                die_at=die_at,
                during=during,
            )
        )
        if status != (_KILLED if die_at else 0):
            raise BenchError(f"a victim of {operation.name!r} that dies at step {die_at} ended with {status}")
        for path in (place / "runs").glob("*.jsonl"):
            problems = await trio.to_thread.run_sync(recover, read_journal(path), lambda text: None)
            if problems:
                raise BenchError(f"left by a victim: {'; '.join(problems)}")
        return (place / "trail").read_text().splitlines()

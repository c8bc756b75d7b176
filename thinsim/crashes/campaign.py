"""A `Campaign` kills the snapshotter before each step of an operation, restarts it, repairs, and judges."""

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from fuse_backing.sparsefile import SparseFile
from thinsim.crashes.case import CrashCase
from thinsim.crashes.judging import judge_crash, use_again
from thinsim.crashes.operations import OPERATIONS, CrashOperation
from thinsim.crashes.stage import CrashStage, running_stage
from thinsim.crashes.state import CrashState, state_in_words
from thinsim.crashes.victims import Victims
from thinsim.errors import ThinsimError
from thinsim.machine.journal import Journal
from thinsim.rig.registry import find_rig

COMPARED_PROFILES = ("containerd", "fixed")

_COMMANDS = ("mkfs", "discard", "mount", "unmount")
"""Steps that run a command on the host."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A `Crash` records one kill, before or *during* step *number* (from 1), and its consequences.

    *after_restart* and *after_repair* describe the state; *problems* is empty if nothing is wrong.
    """

    operation: str
    """The verb."""
    profile: str
    """The profile of the snapshotter."""
    number: int
    """The number of the step in the verb, from 1."""
    step: str
    """The step."""
    during: bool
    """True if the kill came in the middle of the step, not before it."""
    after_restart: str
    """The state after the restart."""
    after_repair: str
    """The state after the repair."""
    problems: Sequence[str]
    """The losses that remained; empty if all is well."""


@dataclass(frozen=True, slots=True)
class _Uncut:
    """An `_Uncut` records the operation without a crash: its steps and the states around it.

    *repaired* is the state after a repair that follows the operation.
    """

    steps: Sequence[str]
    before: CrashState
    after: CrashState
    repaired: CrashState


class Campaign:
    """A `Campaign` runs operations on one rig and kills them. *victims* runs the killed processes.

    All files are below *directory*, which must exist.
    """

    def __init__(self, rig: str, directory: Path, journal: Journal, victims: Victims) -> None:
        self._rig = rig
        self._directory = directory
        self._journal = journal
        self._victims = victims
        self._known_steps: dict[tuple[str, str], Sequence[str]] = {}
        self._stage: CrashStage | None = None
        self._stages = AsyncExitStack()
        self._cases = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stages.__aexit__(kind, error, trace)

    async def run(self, operation: CrashOperation, profile: str) -> Sequence[Crash]:
        """Kill *operation* before each of its steps, and also during each step that runs a command.

        Raise ThinsimError if the operation fails without a crash.
        """
        uncut = await self._uncut(operation, profile)
        crashes = []
        for number, step in enumerate(uncut.steps, 1):
            for during in (False, True) if self._can_die_during(step) else (False,):
                crashes.append(await self._crash(operation, profile, uncut, number, during=during))
        return crashes

    def _can_die_during(self, step: str) -> bool:
        return find_rig(self._rig).mounts and step.split(maxsplit=1)[0] in _COMMANDS

    async def _steps(self, operation: CrashOperation, profile: str) -> Sequence[str]:
        known = self._known_steps
        if (operation.name, profile) not in known:
            known[operation.name, profile] = (await self._uncut(operation, profile)).steps
        return known[operation.name, profile]

    async def _uncut(self, operation: CrashOperation, profile: str) -> _Uncut:
        async with self._case(operation, profile) as case:
            before = await case.state()
            steps = await case.kill(self._victims, 0, during=False)
            steps = [step.replace(f"{case.config.pool_name}-", "") for step in steps]
            await case.let_go()
            after = await case.state()
            async with case.opened() as snapshotter:
                await snapshotter.repair()
                repaired = await case.state()
                case.empty = not await use_again(case.stage, case.config, snapshotter, operation)
                return _Uncut(steps, before, after, repaired)

    async def _crash(
        self, operation: CrashOperation, profile: str, uncut: _Uncut, number: int, *, during: bool
    ) -> Crash:
        finding = partial(Crash, operation.name, profile, number, uncut.steps[number - 1], during)
        async with self._case(operation, profile) as case:
            await case.kill(self._victims, number, during=during)
            restarted = repaired = ""
            try:
                async with case.opened() as snapshotter:
                    restarted = state_in_words(await case.state(), uncut.before, uncut.after)
                    await case.let_go()
                    report = await snapshotter.repair()
                    repaired = state_in_words(await case.state(), uncut.before, uncut.after)
                    problems = await judge_crash(
                        case.stage,
                        case.config,
                        operation,
                        report,
                        allowed=(uncut.before, uncut.after, uncut.repaired),
                        known=case.known,
                    )
                    again = await snapshotter.repair()
                    problems += [
                        f"a second repair found: {each.subject}: {each.found}" for each in again.repaired
                    ]
                    at_the_end = await use_again(case.stage, case.config, snapshotter, operation)
                    problems += at_the_end
                    case.empty = not at_the_end
            except ThinsimError as error:
                problems = [f"{'the repair' if restarted else 'the restart'} failed: {error}"]
        return finding(restarted, repaired, problems)

    @asynccontextmanager
    async def _case(self, operation: CrashOperation, profile: str) -> AsyncIterator[CrashCase]:
        """Prepare the operation's initial snapshots on an empty pool, which is new after a problem."""
        steps_of = {name: await self._steps(OPERATIONS[name], profile) for name, _ in operation.crashes}
        self._cases += 1
        directory = self._directory / f"case-{self._cases}"
        directory.mkdir()
        if self._stage is None:
            place = self._directory / f"pool-{self._cases}"
            place.mkdir()
            self._stage = await self._stages.enter_async_context(
                running_stage(self._rig, place, self._journal, f"{self._journal.path.stem}-{self._cases}")
            )
        else:
            _punch(self._stage.data_file)
        async with AsyncExitStack() as held:
            case = CrashCase(self._stage, directory, operation, profile, held)
            await case.arrange(self._victims, steps_of)
            yield case
        shutil.rmtree(directory)
        if not case.empty:
            self._stage = None
            await self._stages.aclose()


def _punch(file: Path) -> None:
    """Free the bytes that the previous case has leaked. Nothing is mapped now."""
    fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        data = SparseFile(fd)
        data.punch(0, data.size)
    finally:
        os.close(fd)

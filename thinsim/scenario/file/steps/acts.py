"""Carries out the steps of a scenario file on a Session."""

import errno
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from fuse_backing.faults import FaultPlan
from thinsim.errors import KernelError, ThinsimError
from thinsim.scenario.file.session import ScenarioSession
from thinsim.scenario.file.steps import step as steps
from thinsim.scenario.file.steps.asserting import AssertOutcome, VariantState, outcomes
from thinsim.thin.status import parse_pool_status
from thinsim.workload.image.archive import open_image


class StepFailedError(ThinsimError):
    """A step was refused that should not have been, or not with the error that was expected."""


class Acts:
    """The steps of one variant. *base* is what relative paths are relative to; *say* tells the user."""

    def __init__(self, session: ScenarioSession, base: Path, say: Callable[[str], None]) -> None:
        self.outcomes: list[AssertOutcome] = []
        self._session = session
        self._base = base
        self._say = say

    async def take(self, step: steps.AnyStep) -> None:
        """Carry out one step. StepFailedError names it and what came of it."""
        if isinstance(step, steps.AssertStep):
            await self._assert(step)
        elif isinstance(step, steps.FaultsStep):
            await self._session.set_faults(FaultPlan.from_json(step.plan) if step.plan else FaultPlan())
        elif isinstance(step, (steps.ReleaseStep, steps.CrashStep)):
            try:
                if isinstance(step, steps.ReleaseStep):
                    self._session.release(step.key)
                else:
                    await self._crash(step)
            except (ThinsimError, OSError) as error:
                raise StepFailedError(f"phase {self._session.phase!r}: {_text(error)}") from error
        else:
            await self._refusable(step)

    async def _refusable(self, step: steps.Act) -> None:
        try:
            await self._act(step)
        except (ThinsimError, OSError) as error:
            if not set(step.fails) & set(_classes(error)):
                wanted = f"; it was to fail with {' or '.join(step.fails)}" if step.fails else ""
                raise StepFailedError(
                    f"phase {self._session.phase!r}: {_name(step)}: {_text(error)}{wanted}"
                ) from error
            asserted = f"{_name(step)} fails with {' or '.join(step.fails)}"
            self.outcomes.append(AssertOutcome(self._session.phase, asserted, _text(error), True))
            return
        if step.fails:
            asserted = f"{_name(step)} fails with {' or '.join(step.fails)}"
            self.outcomes.append(AssertOutcome(self._session.phase, asserted, "it was carried out", False))

    async def _act(self, step: steps.Act) -> None:
        session = self._session
        match step:
            case steps.ImportStep():
                await self._import(step)
            case steps.PrepareStep():
                await session.prepare(step.key, step.parent)
            case steps.ViewStep():
                await session.view(step.key, step.parent)
            case steps.WriteStep():
                await session.write(step.key, step.name, step.size)
            case steps.OverwriteStep():
                await session.overwrite(step.key, step.name, step.size)
            case steps.DeleteStep():
                await session.delete(step.key, step.name)
            case steps.RunStep():
                await session.run_container(step.key, step.size)
            case steps.TrimStep():
                await session.trim(step.key)
            case steps.CommitStep():
                await session.commit(step.name, step.key)
            case steps.RemoveStep():
                await session.remove(step.key)
            case steps.CleanupStep():
                await session.cleanup()
            case steps.RestartStep():
                await session.restart()
            case steps.HoldStep():
                await session.hold(step.key, step.until)
            case _:
                raise AssertionError(f"no act for {step}")

    async def _import(self, step: steps.ImportStep) -> None:
        if not step.image:
            await self._session.import_layers(step.name, step.layers, step.size, step.parent)
            return
        with open_image(self._base / step.image) as image:
            if image.note:
                self._say(f"{step.image}: {image.note}")
            await self._session.import_image(step.name, image, step.parent)

    async def _crash(self, step: steps.CrashStep) -> None:
        snapshotter = self._session.snapshotter
        verbs: dict[str, Callable[[], Awaitable[object]]] = {
            "prepare": partial(snapshotter.prepare, step.key, step.parent),
            "commit": partial(snapshotter.commit, step.name, step.key),
            "remove": partial(snapshotter.remove, step.key),
            "cleanup": snapshotter.cleanup,
        }
        name = f"crash {step.when} {step.at} in {step.during} {step.key}".rstrip()
        await self._session.crash(name, step.when, step.at, verbs[step.during])

    async def _assert(self, step: steps.AssertStep) -> None:
        session = self._session
        shape = session.rig.shape
        measured = VariantState(
            samples=session.samples,
            leaks=session.leaks(),
            block_bytes=shape.block_bytes,
            snapshots=await session.snapshots() if step.snapshots is not None else (),
            thin_devices=len(await session.rig.mappings()),
            pool_mode=parse_pool_status(await session.rig.dm.status(shape.name)).mode,
        )
        self.outcomes += outcomes(step, session.phase, measured)


def _name(step: steps.Act) -> str:
    values = [str(value) for name, value in step if name in ("key", "name") and value]
    return " ".join([str(getattr(step, "do", "")), *values])


def _classes(error: Exception) -> list[str]:
    """Return the words that ``fails`` may have for *error*."""
    words = [word for word, name in steps.FAILURES.items() if type(error).__name__ == name]
    number = error.errno if isinstance(error, (KernelError, OSError)) else None
    return words if number is None else [*words, errno.errorcode.get(number, "")]


def _text(error: Exception) -> str:
    """Return what went wrong; the paths of an OSError are the run's own, which say nothing to a user."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)

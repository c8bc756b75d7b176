"""`run_scenario` runs each variant of a scenario file on a fresh pool, and cleans up."""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fuse_backing.events import LedgerEvent
from thinsim.did_you_mean import unknown_name
from thinsim.errors import InvariantError, UnknownNameError
from thinsim.machine.working_directory import working_directory
from thinsim.measure.attribution import Leak
from thinsim.measure.discard_clock import DiscardClock, DiscardTimes
from thinsim.measure.reference_work import ReferenceWork
from thinsim.measure.sample import StepSample
from thinsim.rig.interface import Rig
from thinsim.rig.record import RigRecord
from thinsim.rig.shape import PoolShape
from thinsim.scenario.file.document import Scenario, Variant, steps_of
from thinsim.scenario.file.location import line_of
from thinsim.scenario.file.rehearsal import require_possible
from thinsim.scenario.file.session import session
from thinsim.scenario.file.steps.step import AssertOutcome, RunningVariant, StepFailedError
from thinsim.scenario.measured_steps import added
from thinsim.scenario.progress import Progress
from thinsim.scenario.unfinished import forget, unfinished
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.retry import CONTAINERD_RETRY, RetryRules
from thinsim.workload.repeatable import fs_options, repeatable_ext4

START = "pool created"
"""The phase before the first one of the file."""


@dataclass(frozen=True, slots=True)
class ScenarioRequest:
    """A `ScenarioRequest` describes a run. *name* is the user's word for the scenario, *text* its file."""

    scenario: Scenario
    name: str
    text: str
    rig: RigRecord
    base: Path
    variants: Sequence[str] = ()
    directory: Path | None = None
    keep: bool = False
    repeatable: bool = False
    """Make the block counts the same in every run, as ``repeatable_ext4`` does."""
    reference_work: bool = False
    """Measure the machine's speed around each discard, so that times of different runs can be compared."""


@dataclass(frozen=True, slots=True)
class VariantResult:
    """A `VariantResult` holds the measurements of a variant; *finished* is false if it was cut short."""

    variant: Variant
    config: Config
    finished: bool = True
    samples: Sequence[StepSample] = ()
    leaks: Sequence[Leak] = ()
    fs_type: str = ""
    """The type of the file systems in the snapshots; it is empty if the rig simulates one."""
    outcomes: Sequence[AssertOutcome] = ()
    events: Sequence[LedgerEvent] = ()
    started: float = 0.0
    """Seconds since the epoch."""
    write_seconds: float = 0.0
    discards: DiscardTimes = field(default_factory=DiscardTimes)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def leaked(self) -> int:
        """Return the number of bytes leaked at the end."""
        return sum(leak.bytes for leak in self.leaks)


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """A `ScenarioResult` holds the measurements of every variant and the time of each part, in seconds."""

    request: ScenarioRequest
    shape: PoolShape
    runs: Sequence[VariantResult]
    seconds: dict[str, float]
    kept: Path | None
    data_plane: str = ""
    """The server of requests to thin devices, in words; empty for the kernel, or before the first pool."""


@dataclass(slots=True)
class _BegunVariant:
    """A `_BegunVariant` is a run that may still go on; *running* is None until its session is open."""

    variant: Variant
    config: Config
    started: float = field(default_factory=time.time)
    running: RunningVariant | None = None
    finished: bool = False

    def result(self) -> VariantResult:
        if self.running is None:
            return VariantResult(self.variant, self.config, started=self.started, finished=False)
        on_rig = self.running.session
        return VariantResult(
            variant=self.variant,
            config=on_rig.config,
            finished=self.finished,
            samples=tuple(on_rig.samples),
            leaks=tuple(on_rig.leaks()),
            fs_type=on_rig.fs_type,
            outcomes=tuple(self.running.outcomes),
            events=tuple(on_rig.events),
            started=on_rig.started,
            write_seconds=on_rig.write_seconds,
            discards=on_rig.interception.clock.times,
            seconds=on_rig.seconds,
        )


async def run_scenario(
    request: ScenarioRequest, progress: Progress, keep: Callable[[ScenarioResult], object] = forget
) -> ScenarioResult:
    """Run each variant, and clean up. With ``request.keep`` the files stay.

    If an error or a signal ends the work early, *keep* gets the measurements so far. An assert that does not
    hold is an outcome, not an error. InvalidScenarioError, before anything is set up, for a step that cannot
    succeed in these variants. StepFailedError if a step fails that should succeed, or fails with
    another error than the expected one; other ThinsimErrors as for ``reproduce``.
    """
    assert request.rig.running is not None, "thinsim.guests runs it in the guest"
    variants = chosen_variants(request)
    require_possible(request.scenario, request.text, request.name, variants)
    spent: dict[str, float] = {}
    shape, kept, data_plane = request.scenario.pool.shape("thinsim"), None, ""
    begun: list[_BegunVariant] = []

    def measured() -> ScenarioResult:
        runs = [each.result() for each in begun]
        seconds = added(spent, *(run.seconds for run in runs))
        return ScenarioResult(request, shape, runs, seconds, kept, data_plane)

    with unfinished(begun, measured, keep):
        async with (
            working_directory(request.directory, progress.say, keep=request.keep) as (directory, journal),
            AsyncExitStack() as stack,
        ):
            kept = directory if request.keep else None
            if request.repeatable and request.rig.mounts:
                stack.enter_context(repeatable_ext4(directory))
            reference = stack.enter_context(ReferenceWork(directory)) if request.reference_work else None
            shape = request.scenario.pool.shape(f"thinsim-{journal.path.stem}")
            for number, variant in enumerate(variants, 1):
                progress.setting(number, len(variants), variant.name)
                run_directory = directory / f"variant-{number}"
                run_directory.mkdir()
                run = _BegunVariant(variant, _config(request, variant, run_directory, shape))
                begun.append(run)
                at = time.monotonic()
                async with request.rig.running(run_directory, shape, journal) as rig:
                    data_plane = await rig.data_plane()
                    spent["stand-up"] = spent.get("stand-up", 0) + time.monotonic() - at
                    await _run_variant(request, run, rig, progress, DiscardClock(reference))
                    at = time.monotonic()
                run.finished = True
                spent["tear-down"] = spent.get("tear-down", 0) + time.monotonic() - at
                if not request.keep:
                    shutil.rmtree(run_directory)
    return measured()


def _config(request: ScenarioRequest, variant: Variant, directory: Path, shape: PoolShape) -> Config:
    keys = _keys(request, variant)
    return Config.from_table({**keys, "root_path": str(directory), "pool_name": shape.name})


async def _run_variant(
    request: ScenarioRequest, begun: _BegunVariant, rig: Rig, progress: Progress, clock: DiscardClock
) -> None:
    scenario, variant = request.scenario, begun.variant
    busy = replace(CONTAINERD_RETRY.busy, tries=scenario.retry.tries, interval=scenario.retry.interval)
    retry = RetryRules(busy, CONTAINERD_RETRY.hold)
    keys = _keys(request, variant)
    async with session(rig, keys, retry, progress, rig.directory / "snapshotter", clock) as on_rig:
        begun.running = run = RunningVariant(on_rig, request.base, progress.warn)
        on_rig.phase = START
        await on_rig.start()
        for number, phase in enumerate(scenario.phase):
            on_rig.phase = phase.name
            for position, step in steps_of(phase, variant.name):
                try:
                    await step.take(run)
                except StepFailedError as error:
                    line = line_of(request.text, ("phase", number, "steps", position))
                    raise StepFailedError(f"{request.name}:{line}: {error}") from error
    problems = await rig.check()
    if problems:
        raise InvariantError("the metadata checker found: " + "; ".join(problems))


def _keys(request: ScenarioRequest, variant: Variant) -> dict[str, Any]:
    """Return the snapshotter's table. A repeatable run chooses mkfs's options if the file does not."""
    keys = request.scenario.snapshotter_keys(variant)
    if request.repeatable and keys.get("fs_type", "ext4") == "ext4" and not keys.get("fs_options"):
        keys["fs_options"] = fs_options(request.scenario.pool.block_size)
    return keys


def chosen_variants(request: ScenarioRequest) -> list[Variant]:
    """Return the variants to run, in the file's order; UnknownNameError if a variant does not exist."""
    known = {variant.name: variant for variant in request.scenario.variants}
    for name in request.variants:
        if name not in known:
            raise UnknownNameError(unknown_name(f"{request.name}: variant", name, known))
    return [variant for name, variant in known.items() if not request.variants or name in request.variants]

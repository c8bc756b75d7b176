"""`measure_space_fault` measures a space fault of containerd, A to G, with and without its fix.

Each fault ends with every snapshot removed and cleaned up; the bytes that the host still has allocated then
have leaked. G leaks nothing: its numbers are the results of usage.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import EnvironmentLacksError, ThinsimError
from thinsim.machine.journal import Journal
from thinsim.rig.record import RigRecord
from thinsim.rig.shape import PoolShape
from thinsim.scenario.file.session import ScenarioSession, session
from thinsim.scenario.progress import Progress
from thinsim.snapshotter.config import PROFILES
from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.snapshotter.retry import CONTAINERD_RETRY, RetryRule, RetryRules

MIB = 1 << 20
FAITHFUL, FIXED = PROFILES

_RETRY = RetryRules(RetryRule(3, 0.01, CONTAINERD_RETRY.busy.errnos), CONTAINERD_RETRY.hold)
_NO_PASSDOWN = ("skip_block_zeroing", "no_discard_passdown")


@dataclass(frozen=True, slots=True)
class SpaceFaultOutcome:
    """A `SpaceFaultOutcome` holds the leaked bytes or the result of usage; *note* names any other effect."""

    bytes: int
    """Bytes that leaked; for G the usage."""
    note: str = ""
    """A remark."""


@dataclass(frozen=True, slots=True)
class SpaceFault:
    """A `SpaceFault` names the fault and the key that fixes it; *play* returns a note or the usage."""

    letter: str
    title: str
    key: str
    play: Callable[[ScenarioSession, bool], Awaitable[str | SpaceFaultOutcome]]
    async_remove: bool = False
    features: tuple[str, ...] = ("skip_block_zeroing",)


@dataclass(frozen=True, slots=True)
class SpaceFaultRow:
    """A `SpaceFaultRow` compares the outcomes of a fault with the two profiles."""

    letter: str
    """The letter of the fault."""
    title: str
    """The events of the scenario."""
    key: str
    """The setting that prevents the leak."""
    faithful: SpaceFaultOutcome
    """The outcome with `profile = "containerd"`."""
    fixed: SpaceFaultOutcome
    """The outcome with `profile = "fixed"`."""

    @property
    def is_usage(self) -> bool:
        """Return whether the numbers are usage, so that nothing leaks."""
        return self.letter.startswith("G")


async def measure_space_fault(
    fault: SpaceFault, rig: RigRecord, directory: Path, journal: Journal, name: str, progress: Progress
) -> SpaceFaultRow:
    """Play *fault* with both profiles, each on a fresh pool of *rig*, which runs on this machine.

    The names of the pools begin with *name*. Errors as for ``run_scenario``.
    """
    outcomes = []
    for number, profile in enumerate((FAITHFUL, FIXED), 1):
        progress.setting(number, 2, f"{fault.letter}, {profile}")
        place = directory / f"{fault.letter}-{profile}"
        place.mkdir()
        shape = PoolShape(f"{name}-{fault.letter.lower()}{number}", features=fault.features)
        assert rig.running is not None, "a guest runs the whole command"
        async with rig.running(place, shape, journal) as running:
            keys = {
                "base_image_size": "128MiB",
                "discard_blocks": True,
                "async_remove": fault.async_remove,
                "profile": profile,
            }
            async with session(running, keys, _RETRY, progress, place / "snapshotter") as on_rig:
                outcomes.append(await _play(fault, on_rig, fixed=profile == FIXED))
    return SpaceFaultRow(fault.letter, fault.title, fault.key, *outcomes)


async def _play(fault: SpaceFault, on: ScenarioSession, *, fixed: bool) -> SpaceFaultOutcome:
    on.phase = fault.letter
    try:
        await on.start()
    except EnvironmentLacksError:
        return SpaceFaultOutcome(0, "the snapshotter refuses the pool")
    found = await fault.play(on, fixed)
    if isinstance(found, SpaceFaultOutcome):
        return found
    await on.cleanup()
    return SpaceFaultOutcome(on.samples[-1].host_allocated, found)


async def _committed(on: ScenarioSession, fixed: bool) -> str:
    names = await on.import_layers("layer", 2, 16 * MIB)
    for name in reversed(names):
        await on.remove(name)
    return ""


async def _shared(on: ScenarioSession, fixed: bool) -> str:
    await on.import_layers("base", 1, 8 * MIB)
    for image in ("one", "two"):
        await on.import_layers(image, 1, 4 * MIB, "base-1")
    await on.prepare("container", "one-1")
    await on.overwrite("container", "one-1", 2 * MIB)
    await on.view("view", "two-1")
    for key in ("view", "container", "one-1", "two-1", "base-1"):
        await on.remove(key)
    return ""


async def _container(on: ScenarioSession) -> None:
    """Write to a container without an image, since the leak of an image is fault A."""
    await on.prepare("container")
    await on.write("container", "data", 16 * MIB)


async def _rebooted(on: ScenarioSession, fixed: bool) -> str:
    await _container(on)
    await on.remove("container")
    await on.reboot()
    return ""


async def _probed(on: ScenarioSession, fixed: bool) -> str:
    await _container(on)
    # The probe closes the device right before the removal. The fixed profile waits, so it closes it later.
    await on.hold("container", until="deactivate")
    await on.remove("container")
    if fixed:
        on.release("container")
    return "" if not fixed else "deferred to cleanup"


async def _stuck(on: ScenarioSession, fixed: bool) -> str:
    await _container(on)
    await on.hold("container")
    if fixed:
        await on.remove("container")
        on.release("container")
        return "deferred to cleanup"
    await _refused(on)
    on.release("container")
    await _refused(on)
    await on.restart()
    return await _refused(on)


async def _refused(on: ScenarioSession) -> str:
    try:
        await on.remove("container")
    except FailedPreconditionError:
        return "cannot be removed any more"
    raise ThinsimError("the removal succeeded, but containerd refuses it")


async def _removed(on: ScenarioSession, fixed: bool) -> str:
    await _container(on)
    await on.remove("container")
    return "no error"


async def _usage_of_view(on: ScenarioSession, fixed: bool) -> SpaceFaultOutcome:
    await on.import_layers("layer", 1, 8 * MIB)
    await on.view("view", "layer-1")
    return SpaceFaultOutcome((await on.snapshotter.usage("view")).size)


async def _usage_of_rewritten(on: ScenarioSession, fixed: bool) -> SpaceFaultOutcome:
    await on.import_layers("layer", 1, 8 * MIB)
    await on.prepare("container", "layer-1")
    await on.overwrite("container", "layer-1", 4 * MIB)
    return SpaceFaultOutcome((await on.snapshotter.usage("container")).size)


FAULTS: Sequence[SpaceFault] = (
    SpaceFault("A", "an image of two layers is removed", "discard_committed", _committed),
    SpaceFault(
        "B", "two images on one layer, a container and a view are removed", "discard_committed", _shared
    ),
    SpaceFault(
        "C", "removed with async_remove, a reboot, then the cleanup", "discard_inactive", _rebooted, True
    ),
    SpaceFault("D", "a device is open for a moment when its discard is due", "discard_later", _probed),
    SpaceFault("E", "a device is open for longer than the removal tries", "remove_unforced", _stuck),
    SpaceFault(
        "F", "the pool does not pass discards down", "require_passdown", _removed, False, _NO_PASSDOWN
    ),
    SpaceFault("G1", "usage of a view of 8 MiB", "exact_usage", _usage_of_view),
    SpaceFault("G2", "usage after 4 MiB of the image were overwritten", "exact_usage", _usage_of_rewritten),
)

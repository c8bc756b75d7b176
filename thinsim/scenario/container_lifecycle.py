"""The scenario of the main job: import an image, run a container on it, remove the one, then the other.

What containerd does with a snapshotter when ``ctr images import``, ``ctr run --rm`` and ``ctr images
rm`` are called; every step is measured.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from thinsim.errors import BenchError
from thinsim.measure.attribution import Leak
from thinsim.measure.sample import Meter, StepSample
from thinsim.rig.interface import Rig
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.events import DeviceEvent
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

_Result = TypeVar("_Result")

CONTAINER_KEY = "container"


class Phase:
    """The phases, in order, as they are printed."""

    FRESH = "pool created"
    IMPORT = "image imported"
    RUN = "container ran"
    REMOVE_CONTAINER = "container removed"
    REMOVE_IMAGE = "image removed"

    ALL = (FRESH, IMPORT, RUN, REMOVE_CONTAINER, REMOVE_IMAGE)


@dataclass(frozen=True, slots=True)
class Setting:
    """One column of the comparison: what the snapshotter is told about discards."""

    slug: str
    name: str
    discard_blocks: bool
    discard_committed: bool = False
    async_remove: bool = False


SETTINGS = (
    Setting("off", "discard_blocks=false", discard_blocks=False),
    Setting("on", "discard_blocks=true", discard_blocks=True),
    Setting("committed", "true + discard_committed", discard_blocks=True, discard_committed=True),
)


class Progress(Protocol):
    """Gets told what goes on."""

    def step(self, phase: str, step: str) -> None:
        """A step begins."""


@dataclass(frozen=True, slots=True)
class LifecycleResult:
    """What one run measured."""

    setting: Setting
    samples: Sequence[StepSample]
    leaks: Sequence[Leak]
    seconds: Mapping[str, float]


async def run_lifecycle(
    rig: Rig, setting: Setting, *, base_image_size: str, progress: Progress
) -> LifecycleResult:
    """Run the scenario on a fresh *rig*; BenchError when a measurement or the metadata checker contradicts."""
    seconds: dict[str, float] = {}
    events: list[DeviceEvent] = []
    meter = Meter(rig)
    config = Config(
        root_path=rig.directory / "snapshotter",
        pool_name=rig.shape.name,
        base_image_size=base_image_size,
        discard_blocks=setting.discard_blocks,
        discard_committed=setting.discard_committed,
        async_remove=setting.async_remove,
    )
    snapshotter = await DevmapperSnapshotter.open(config, rig.dm, rig.host, observer=events.append)

    async def step(phase: str, name: str, act: Callable[[], Awaitable[_Result]]) -> _Result:
        progress.step(phase, name)
        events.clear()
        begun = time.monotonic()
        result = await act()
        acted = time.monotonic()
        await meter.sample(phase, name, acted - begun, snapshotter, tuple(events))
        seconds[phase] = seconds.get(phase, 0) + acted - begun
        seconds["measuring"] = seconds.get("measuring", 0) + time.monotonic() - acted
        return result

    try:
        await step(Phase.FRESH, "create pool", _nothing)
        names = await _import(rig, snapshotter, step)
        mounts = await step(
            Phase.RUN, f"prepare {CONTAINER_KEY}", lambda: snapshotter.prepare(CONTAINER_KEY, names[-1])
        )
        await step(Phase.RUN, "run container", lambda: rig.workload.run_container(mounts))
        await step(Phase.REMOVE_CONTAINER, "remove container", lambda: snapshotter.remove(CONTAINER_KEY))
        if setting.async_remove:
            await step(Phase.REMOVE_CONTAINER, "cleanup", snapshotter.cleanup)
        for name in reversed(names):
            await step(Phase.REMOVE_IMAGE, f"remove {name}", lambda name=name: snapshotter.remove(name))  # type: ignore[misc]
        if setting.async_remove:
            await step(Phase.REMOVE_IMAGE, "cleanup", snapshotter.cleanup)
    finally:
        await snapshotter.close()
    problems = await rig.check()
    if problems:
        raise BenchError("the metadata checker found: " + "; ".join(problems))
    return LifecycleResult(setting, tuple(meter.samples), tuple(meter.leaks()), seconds)


Step = Callable[[str, str, Callable[[], Awaitable[_Result]]], Awaitable[_Result]]


async def _import(rig: Rig, snapshotter: DevmapperSnapshotter, step: Step) -> list[str]:  # type: ignore[type-arg]
    """Unpack each layer onto a snapshot of the one below; return the committed names, bottom first."""
    names: list[str] = []
    for number in range(1, rig.workload.layer_count + 1):
        name = f"layer-{number}"
        key = f"extract-{name}"
        parent = names[-1] if names else ""
        mounts = await step(
            Phase.IMPORT, f"prepare {key}", lambda key=key, parent=parent: snapshotter.prepare(key, parent)
        )
        await step(
            Phase.IMPORT,
            f"unpack {name}",
            lambda number=number, mounts=mounts: rig.workload.unpack(number, mounts),
        )
        await step(Phase.IMPORT, f"commit {name}", lambda name=name, key=key: snapshotter.commit(name, key))
        names.append(name)
    return names


async def _nothing() -> None:
    """The pool stands already; this step only measures it."""

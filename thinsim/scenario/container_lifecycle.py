"""`run_lifecycle` imports an image, runs a container on it and removes both.

The calls to the snapshotter are those that containerd makes for ``ctr images import``, ``ctr run --rm`` and
``ctr images rm``. Every step is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from fuse_backing.events import LedgerEvent
from thinsim.errors import InvariantError
from thinsim.measure.attribution import Leak
from thinsim.measure.sample import StepSample
from thinsim.rig.interface import Rig
from thinsim.scenario.measured_steps import MeasuredSteps
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

CONTAINER_KEY = "container"


class LifecyclePhase:
    """`LifecyclePhase` names the phases as reports print them; `ALL` has them in order."""

    FRESH = "pool created"
    IMPORT = "image imported"
    RUN = "container ran"
    REMOVE_CONTAINER = "container removed"
    REMOVE_IMAGE = "image removed"

    ALL = (FRESH, IMPORT, RUN, REMOVE_CONTAINER, REMOVE_IMAGE)


@dataclass(frozen=True, slots=True)
class Setting:
    """A `Setting` is one column of the comparison, with the snapshotter's options for discards."""

    slug: str
    """The word of `--setting`."""
    name: str
    """The name that tables show."""
    discard_blocks: bool
    """The snapshotter's `discard_blocks`."""
    discard_committed: bool = False
    """The snapshotter's `discard_committed`."""
    async_remove: bool = False
    """The snapshotter's `async_remove`."""
    containerd: int = 0
    """The number of the containerd build that it runs on, if several are compared."""


SETTINGS = (
    Setting("off", "discard_blocks=false", discard_blocks=False),
    Setting("on", "discard_blocks=true", discard_blocks=True),
    Setting("committed", "true + discard_committed", discard_blocks=True, discard_committed=True),
)


@dataclass(frozen=True, slots=True)
class LifecycleResult:
    """A `LifecycleResult` holds the measurements of one run; *finished* is false if it was cut short."""

    setting: Setting
    finished: bool = True
    samples: Sequence[StepSample] = ()
    leaks: Sequence[Leak] = ()
    events: Sequence[LedgerEvent] = ()
    """The store's events on the data file."""
    started: float = 0.0
    """Seconds since the epoch."""
    seconds: dict[str, float] = field(default_factory=dict)


async def run_lifecycle(
    rig: Rig, setting: Setting, steps: MeasuredSteps, *, base_image_size: str, fs_options: str
) -> None:
    """Run the lifecycle on a fresh *rig*, each step with *steps*.

    InvariantError if measurements contradict each other, or if the metadata checker finds a fault.
    """
    config = snapshotter_config(rig, setting, base_image_size, fs_options)
    observer = steps.device_events.append
    snapshotter = await DevmapperSnapshotter.open(config, rig.dm, rig.host, observer=observer)
    steps.snapshotter = snapshotter
    try:
        await steps.take(LifecyclePhase.FRESH, "create pool", _nothing)
        names = await _import(rig, snapshotter, steps)
        # An image without layers has an empty chain id, so the container's snapshot has no parent.
        parent = names[-1] if names else ""
        mounts = await steps.take(
            LifecyclePhase.RUN,
            f"prepare {CONTAINER_KEY}",
            partial(snapshotter.prepare, CONTAINER_KEY, parent),
        )
        run = steps.writing(partial(rig.workload.run_container, mounts))
        await steps.take(LifecyclePhase.RUN, "run container", run)
        await steps.take(
            LifecyclePhase.REMOVE_CONTAINER,
            f"remove {CONTAINER_KEY}",
            partial(snapshotter.remove, CONTAINER_KEY),
        )
        if setting.async_remove:
            await steps.take(LifecyclePhase.REMOVE_CONTAINER, "cleanup", snapshotter.cleanup)
        for name in reversed(names):
            await steps.take(LifecyclePhase.REMOVE_IMAGE, f"remove {name}", partial(snapshotter.remove, name))
        if setting.async_remove:
            await steps.take(LifecyclePhase.REMOVE_IMAGE, "cleanup", snapshotter.cleanup)
    finally:
        with trio.CancelScope(shield=True):
            await snapshotter.close()
    problems = await rig.check()
    if problems:
        raise InvariantError("the metadata checker found: " + "; ".join(problems))


def snapshotter_config(rig: Rig, setting: Setting, base_image_size: str, fs_options: str) -> Config:
    """Return the configuration of a snapshotter on *rig*. Empty *fs_options* mean containerd's default."""
    return Config(
        root_path=rig.directory / "snapshotter",
        pool_name=rig.shape.name,
        base_image_size=base_image_size,
        discard_blocks=setting.discard_blocks,
        discard_committed=setting.discard_committed,
        async_remove=setting.async_remove,
        fs_options=fs_options,
    )


async def _import(rig: Rig, snapshotter: DevmapperSnapshotter, steps: MeasuredSteps) -> list[str]:
    """Unpack each layer onto a snapshot of the layer below; return the committed names, bottom first."""
    names: list[str] = []
    for number in range(1, rig.workload.layer_count + 1):
        name = f"layer-{number}"
        key = f"extract-{name}"
        parent = names[-1] if names else ""
        mounts = await steps.take(
            LifecyclePhase.IMPORT, f"prepare {key}", partial(snapshotter.prepare, key, parent)
        )
        unpack = steps.writing(partial(rig.workload.unpack, number, mounts))
        await steps.take(LifecyclePhase.IMPORT, f"unpack {name}", unpack)
        await steps.take(LifecyclePhase.IMPORT, f"commit {name}", partial(snapshotter.commit, name, key))
        names.append(name)
    return names


async def _nothing() -> None:
    """Do nothing: the pool exists already, and this step only measures it."""

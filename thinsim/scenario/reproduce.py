"""`run_reproduction` runs the container lifecycle on a fresh pool per setting, with set-up and clean-up."""

import platform
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from thinsim.machine.journal import Journal
from thinsim.machine.working_directory import working_directory
from thinsim.rig.contents import Contents
from thinsim.rig.emulated import EmulatedRig
from thinsim.rig.loop_rig import LoopRig
from thinsim.rig.record import RigRecord
from thinsim.rig.setup.choice import find_setup
from thinsim.rig.shape import PoolShape
from thinsim.scenario.container_lifecycle import (
    SETTINGS,
    LifecycleResult,
    Setting,
    run_lifecycle,
    snapshotter_config,
)
from thinsim.scenario.containerd import lifecycle as containerd
from thinsim.scenario.containerd.builds import ContainerdBuild, find_build, labels
from thinsim.scenario.containerd.plugins import SnapshotterPlugin, devmapper_plugin, proxy_plugin
from thinsim.scenario.containerd.recording import RecordedActivity
from thinsim.scenario.measured_steps import MeasuredSteps, added
from thinsim.scenario.progress import Progress
from thinsim.scenario.unfinished import forget, unfinished
from thinsim.snapshotter.config import Config
from thinsim.units import Bytes
from thinsim.workload.block_history import BUNDLED, BlockHistory
from thinsim.workload.image.archive import NO_IMAGE, Image, open_image
from thinsim.workload.image.built import build_image
from thinsim.workload.repeatable import fs_options, repeatable_ext4

BASE_IMAGE_SIZE = "512MB"
BUILT_IMAGE_BYTES = 100 << 20

CORE = "core"
CONTAINERD = "containerd"
PROXY = "proxy"
SUBJECTS: dict[str, Sequence[Setting]] = {
    CORE: SETTINGS,
    CONTAINERD: containerd.CONTAINERD_SETTINGS,
    PROXY: SETTINGS,
}
"""The settings of each snapshotter under test: thinsim's own, the one of the unmodified containerd, or
thinsim's as a proxy plugin of containerd."""

_PLUGINS: dict[
    str,
    Callable[[LoopRig, Config, Journal], AbstractAsyncContextManager[SnapshotterPlugin]],
] = {CONTAINERD: devmapper_plugin, PROXY: proxy_plugin}


@dataclass(frozen=True, slots=True)
class ReproductionRequest:
    """A `ReproductionRequest` names the settings to run, the image, and the sizes in bytes.

    *data_size* is the size of the pool's data device.
    """

    rig: RigRecord
    settings: Sequence[Setting]
    subject: str = CORE
    image: Path | None = None
    container_bytes: int = 100 << 20
    data_size: Bytes | None = None
    directory: Path | None = None
    keep: bool = False
    record: Path | None = None
    history: Path | None = None
    repeatable: bool = False
    guest_kernel: str | None = None
    """The kernel release that a rig in a guest boots; None for the newest."""
    setup: str | None = None
    """The set-up from containerd's documentation, for a rig that takes set-ups; None for thinsim's own."""
    sysconfig: Path | None = None
    """The configuration file of the set-up lvm; None for the documentation's."""
    containerd: Sequence[Path] = ()
    """Directories of containerd builds to compare; without any, the installed one runs."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A `Reproduction` holds the measurements of every run and the time of each part, in seconds."""

    rig: str
    kernel: str
    """The Linux release of the machine of the run."""
    subject: str
    image: str
    layers: int
    container_bytes: int
    shape: PoolShape
    runs: Sequence[LifecycleResult]
    seconds: dict[str, float]
    repeatable: bool
    kept: Path | None
    setup: str | None = None
    config_toml: str = ""
    """containerd's configuration for the pool of a set-up; empty without a set-up."""
    builds: Sequence[ContainerdBuild] = ()
    """The builds of containerd that ran."""
    data_plane: str = ""
    """The server of requests to thin devices, in words; empty for the kernel, or before the first pool."""


@dataclass(slots=True)
class _BegunSetting:
    """A `_BegunSetting` is a run that may still go on; *steps* is None until its rig is set up."""

    setting: Setting
    started: float = field(default_factory=time.time)
    steps: MeasuredSteps | None = None
    finished: bool = False

    def result(self) -> LifecycleResult:
        if self.steps is None:
            return LifecycleResult(self.setting, started=self.started, finished=False)
        return LifecycleResult(
            setting=self.setting,
            finished=self.finished,
            samples=tuple(self.steps.meter.samples),
            leaks=tuple(self.steps.meter.leaks()),
            events=tuple(self.steps.store_events),
            started=self.steps.started,
            seconds=self.steps.seconds,
        )


async def run_reproduction(
    request: ReproductionRequest, progress: Progress, keep: Callable[[Reproduction], object] = forget
) -> Reproduction:
    """Run the lifecycle once per setting, and clean up. With ``request.keep`` the files stay.

    If an error or a signal ends the work early, *keep* gets the measurements so far. Raises ThinsimError if
    an argument is wrong, if the machine lacks something, or if measurements contradict each other.
    """
    assert request.rig.running is not None, "thinsim.guests runs it in the guest"
    builds = _builds(request)
    settings = _on_each(builds, request.settings)
    setup = find_setup(request.setup, request.sysconfig) if request.setup is not None else None
    for note in setup.notes if setup is not None else ():
        progress.warn(f"skipped: {note}")
    spent: dict[str, float] = {}
    shape, kept, data_plane = PoolShape("thinsim"), None, ""
    history = BlockHistory(BASE_IMAGE_SIZE, request.container_bytes, "", 0)
    begun: list[_BegunSetting] = []

    def measured() -> Reproduction:
        runs = [each.result() for each in begun]
        return Reproduction(
            rig=request.rig.name,
            kernel=platform.release(),
            subject=request.subject,
            image=history.image,
            layers=history.layers,
            container_bytes=history.container_bytes,
            shape=shape,
            runs=runs,
            seconds=added(spent, *(run.seconds for run in runs)),
            repeatable=request.repeatable,
            kept=kept,
            setup=request.setup,
            config_toml=setup.config_toml if setup is not None else "",
            builds=builds,
            data_plane=data_plane,
        )

    with unfinished(begun, measured, keep):
        async with (
            working_directory(request.directory, progress.say, keep=request.keep) as (directory, journal),
            AsyncExitStack() as stack,
        ):
            kept = directory if request.keep else None
            if request.repeatable:
                stack.enter_context(repeatable_ext4(directory))
            shape = _shape(request, journal)
            at = time.monotonic()
            image, history = await _image(request, directory, stack, progress)
            spent["image"] = time.monotonic() - at
            for number, setting in enumerate(settings, 1):
                progress.setting(number, len(settings), setting.name)
                run_directory = directory / f"{number}-{setting.slug}"
                run_directory.mkdir()
                run = _BegunSetting(setting)
                begun.append(run)
                at = time.monotonic()
                recording = request.record is not None and number == 1
                contents = Contents(
                    image or NO_IMAGE,
                    request.container_bytes,
                    played=history if image is None else None,
                    record=history if recording else None,
                    make_pool=setup.make_pool(journal) if setup is not None else None,
                )
                async with request.rig.running(run_directory, shape, journal, contents) as rig:
                    shape, data_plane = rig.shape, await rig.data_plane()
                    spent["stand-up"] = spent.get("stand-up", 0) + time.monotonic() - at
                    run.steps = steps = MeasuredSteps(rig, progress)
                    if image is not None and request.subject in _PLUGINS:
                        assert isinstance(rig, LoopRig), "only a rig with loop devices imports an image"
                        recorded = history if recording else None
                        build = builds[setting.containerd]
                        await _run_containerd(rig, setting, steps, image, request, journal, build, recorded)
                    else:
                        fs_options = _fs_options(request, rig.shape)
                        size = history.base_image_size
                        await run_lifecycle(rig, setting, steps, base_image_size=size, fs_options=fs_options)
                    at = time.monotonic()
                run.finished = True
                spent["tear-down"] = spent.get("tear-down", 0) + time.monotonic() - at
                if not request.keep:
                    shutil.rmtree(run_directory)
            if request.record is not None:
                history.save(request.record)
    return measured()


async def _run_containerd(
    rig: LoopRig,
    setting: Setting,
    steps: MeasuredSteps,
    image: Image,
    request: ReproductionRequest,
    journal: Journal,
    build: ContainerdBuild,
    history: BlockHistory | None,
) -> None:
    config = snapshotter_config(rig, setting, BASE_IMAGE_SIZE, _fs_options(request, rig.shape))
    take_activity, recorded = rig.take_activity, None
    if history is not None:
        assert isinstance(rig, EmulatedRig), "only the emulated rig sees every block write"
        recorded = RecordedActivity(rig.take_activity, rig.dm, rig.shape.name)
        take_activity = recorded.take
    async with _PLUGINS[request.subject](rig, config, journal) as plugin:
        await containerd.run_containerd_lifecycle(
            rig,
            setting,
            steps,
            image=image.path,
            container_bytes=request.container_bytes,
            plugin=plugin,
            sockets=rig.sockets,
            take_activity=take_activity,
            journal=journal,
            build=build,
        )
    if recorded is not None and history is not None:
        recorded.fill(history)


def _shape(request: ReproductionRequest, journal: Journal) -> PoolShape:
    # /dev/mapper is one name space for the whole machine: a unique name lets several runs go on at once.
    shape = PoolShape(f"thinsim-{journal.path.stem}")
    return shape if request.data_size is None else replace(shape, data_size=request.data_size)


def _builds(request: ReproductionRequest) -> Sequence[ContainerdBuild]:
    if request.subject not in _PLUGINS:
        return ()
    return [find_build(directory) for directory in request.containerd or (None,)]


def _on_each(builds: Sequence[ContainerdBuild], settings: Sequence[Setting]) -> Sequence[Setting]:
    """Return the settings of the run: with several builds, each setting on each of them."""
    if len(builds) < 2:
        return settings
    return [
        replace(setting, name=f"{label}: {setting.name}", containerd=number)
        for setting in settings
        for number, label in enumerate(labels(builds))
    ]


def _fs_options(request: ReproductionRequest, shape: PoolShape) -> str:
    return fs_options(shape.block_bytes) if request.repeatable else ""


async def _image(
    request: ReproductionRequest, directory: Path, stack: AsyncExitStack, progress: Progress
) -> tuple[Image | None, BlockHistory]:
    """Return the image to import and the history to record, or None and the history to play."""
    if not request.rig.mounts or request.history is not None:
        history = BlockHistory.load(request.history or BUNDLED)
        progress.say(f"playing recorded block writes ({history.image}): no file system is mounted")
        return None, history
    path = request.image
    if path is None:
        progress.say("building an image from this machine's files")
        path = directory / "image.tar"

        def build() -> object:
            return build_image(path, size=BUILT_IMAGE_BYTES, progress=_cancellable)

        await trio.to_thread.run_sync(build)
    image = stack.enter_context(open_image(path))
    if image.note:
        progress.warn(image.note)
    return image, BlockHistory(BASE_IMAGE_SIZE, request.container_bytes, image.name, len(image.layers))


def _cancellable(done: int) -> None:
    trio.from_thread.check_cancelled()

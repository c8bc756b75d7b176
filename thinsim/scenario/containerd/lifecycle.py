"""`run_containerd_lifecycle` has containerd import an image, run a container that writes, and remove both."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from thinsim.dm.activity import Activity
from thinsim.errors import EnvironmentLacksError, InvalidValueError, InvariantError, ProgramFailedError
from thinsim.machine.journal import Journal, TakenKind
from thinsim.machine.programs import find_program
from thinsim.measure.observed import ObservedDevices
from thinsim.rig.interface import Rig
from thinsim.scenario.container_lifecycle import LifecyclePhase, Setting
from thinsim.scenario.containerd.builds import ContainerdBuild
from thinsim.scenario.containerd.plugins import SnapshotterPlugin
from thinsim.scenario.containerd.server import Containerd, running_containerd
from thinsim.scenario.measured_steps import MeasuredSteps
from thinsim.snapshotter.events import DeviceEvent

CONTAINERD_SETTINGS = (
    Setting("off", "discard_blocks=false", discard_blocks=False),
    Setting("on", "discard_blocks=true", discard_blocks=True),
    Setting("off-async", "false, async_remove", discard_blocks=False, async_remove=True),
    Setting("on-async", "true, async_remove", discard_blocks=True, async_remove=True),
)

_CONTAINER = "container"
_PT_INTERP = 3
SCRIPT = """set -e
cd /
/busybox-thinsim dd if=/dev/urandom of=/written bs=1M count={mebibytes}
/busybox-thinsim dd if=/dev/urandom of=/temporary bs=1M count={temporary}
/busybox-thinsim rm /temporary
/busybox-thinsim sync -f /written || /busybox-thinsim sync
"""
"""A plain sync would wait for each block device of the machine, those of other runs included."""


async def run_containerd_lifecycle(
    rig: Rig,
    setting: Setting,
    steps: MeasuredSteps,
    *,
    image: Path,
    container_bytes: int,
    plugin: SnapshotterPlugin,
    sockets: Path,
    take_activity: Callable[[], Awaitable[tuple[Activity, ...]]],
    journal: Journal,
    build: ContainerdBuild,
) -> None:
    """Run the lifecycle on a fresh *rig*, each step with *steps*.

    InvariantError if measurements contradict each other, or if the metadata checker finds a fault.
    """
    busybox = _static_busybox()
    option = ("--snapshotter", plugin.name)
    observed = ObservedDevices(rig.shape.name, discard_blocks=setting.discard_blocks)

    async def observe() -> Sequence[DeviceEvent]:
        return observed.step(await take_activity())

    await take_activity()
    steps.observe = observe
    directory = rig.directory / "containerd"
    async with running_containerd(directory, sockets, plugin, journal, build) as containerd:
        await steps.take(LifecyclePhase.FRESH, "start containerd", _nothing)
        await steps.take(
            LifecyclePhase.IMPORT,
            "ctr images import",
            steps.writing(partial(_import, containerd, *option, str(image))),
        )
        names = await _imported(containerd)
        rootfs = directory / "state/io.containerd.runtime.v2.task/default" / _CONTAINER / "rootfs"
        entry = journal.begin(TakenKind.MOUNT, target=rootfs, fs_type="ext4")
        run = partial(_run_container, containerd, option, rig.directory, busybox, names[0], container_bytes)
        await steps.take(LifecyclePhase.RUN, "ctr run", steps.writing(run))
        journal.end(entry)
        await steps.take(
            LifecyclePhase.REMOVE_CONTAINER, "ctr containers rm", partial(_remove_container, containerd)
        )
        remove = partial(containerd.ctr, "images", "rm", "--sync", *names)
        await steps.take(LifecyclePhase.REMOVE_IMAGE, "ctr images rm --sync", remove)
        left = (await containerd.ctr("snapshots", *option, "ls")).splitlines()[1:]
        if left:
            raise ProgramFailedError(f"containerd still has snapshots: {'; '.join(left)}")
    problems = await rig.check()
    if problems:
        raise InvariantError("the metadata checker found: " + "; ".join(problems))


async def _import(containerd: Containerd, *words: str) -> None:
    """Import an image. Nobody counts the bytes of its files."""
    # Without --digests containerd keeps no image of an archive that has no name for it.
    await containerd.ctr("images", "import", "--digests", "--skip-digest-for-named", *words)


async def _imported(containerd: Containerd) -> Sequence[str]:
    """Return the names of the image, a given one first: containerd 2 adds one by its digest to each image."""
    lines = (await containerd.ctr("images", "ls")).splitlines()[1:]
    digests = {words[0]: words[2] for words in map(str.split, lines)}
    images = set(digests.values())
    if len(images) != 1:
        names = " ".join(digests) or "none"
        raise InvalidValueError(
            f"the archive has {len(images)} images ({names}); give an archive of one image"
        )
    return sorted(digests, key=lambda name: "@" in name)


async def _run_container(
    containerd: Containerd, option: Sequence[str], directory: Path, busybox: Path, image: str, size: int
) -> int:
    """Run the container; return the bytes of the files that it writes."""
    script = directory / "write.sh"
    mebibytes, temporary = size >> 20, size >> 23
    script.write_text(SCRIPT.format(mebibytes=mebibytes, temporary=temporary))
    mounts = [
        f"--mount=type=bind,src={source},dst={target},options=rbind:ro"
        for source, target in ((busybox, "/busybox-thinsim"), (script, "/script-thinsim"))
    ]
    # runc keeps containers by name: in its usual root, one that a killed run has left would be in the way.
    await containerd.ctr(
        *("run", *option, "--runc-root", str(directory / "runc"), "--null-io", *mounts, image, _CONTAINER),
        *("/busybox-thinsim", "sh", "/script-thinsim"),
    )
    return mebibytes + temporary << 20


async def _remove_container(containerd: Containerd) -> None:
    await containerd.ctr("containers", "rm", _CONTAINER)
    await containerd.collect_garbage()


async def _nothing() -> None:
    """Do nothing: containerd runs already, and this step only measures."""


def _static_busybox() -> Path:
    """Return a static busybox, which runs in a container of any image."""
    found = find_program("busybox")
    if found is None:
        raise EnvironmentLacksError("busybox is not installed (apt-get install busybox-static)")
    if _has_interpreter(Path(found).read_bytes()):
        raise EnvironmentLacksError(f"{found} is not a static program (apt-get install busybox-static)")
    return Path(found)


def _has_interpreter(program: bytes) -> bool:
    """Return whether a 64-bit ELF program needs a dynamic loader: it has a PT_INTERP header (elf(5))."""
    offset, size, count = (
        int.from_bytes(program[start : start + width], sys.byteorder)
        for start, width in ((0x20, 8), (0x36, 2), (0x38, 2))
    )
    kinds = (program[offset + size * number :][:4] for number in range(count))
    return any(int.from_bytes(kind, sys.byteorder) == _PT_INTERP for kind in kinds)

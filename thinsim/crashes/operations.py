"""Lists the operations that the snapshotter is killed in, and the world that each finds.

Every operation finds the same snapshots: committed ``base``, on it committed ``layer``, on that active
``running`` and ``leaving`` and committed ``top``; each with content of its own.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

NEW = "new"
"""The key or name that an operation makes."""

CrashAct = Callable[[DevmapperSnapshotter], Awaitable[object]]


async def _nothing(snapshotter: DevmapperSnapshotter) -> None:
    """The start of the snapshotter is all."""


@dataclass(frozen=True, slots=True)
class CrashOperation:
    """*act* is what is killed, *arrange* what is done before it.

    - *flags*: keys of the configuration beside those of the profile.
    - *crashes*: operations that are killed before, and the beginning of the step before which.
    - *holds*: the snapshot whose device somebody has open; a committed one since before its commit.
    - *rebooted*: the devices are gone, as after a reboot.
    - *from_start*: the steps of opening the snapshotter count.
    - *mkfs_fails*: no file system can be made.
    - *like*: the snapshot whose content ``new`` has; empty where it has none.
    - *forgets*: afterwards snapshots may be without devices, on purpose.
    """

    name: str
    act: CrashAct
    arrange: CrashAct = _nothing
    flags: Mapping[str, object] = field(default_factory=dict)
    crashes: tuple[tuple[str, str], ...] = ()
    holds: str = ""
    rebooted: bool = False
    from_start: bool = False
    mkfs_fails: bool = False
    like: str = ""
    forgets: bool = False


async def _remove_two(snapshotter: DevmapperSnapshotter) -> None:
    await snapshotter.remove("leaving")
    await snapshotter.remove("top")


async def _relabel(snapshotter: DevmapperSnapshotter) -> None:
    await snapshotter.update(await snapshotter.stat("running"), "labels.colour")


_ASYNC: Mapping[str, object] = {"async_remove": True}
_CUT_SHORT = (
    ("prepare", "mkfs"),
    ("remove a committed one", "write: remove top"),
    ("remove", "delete"),
    ("commit", "resume"),
)

OPERATIONS: Mapping[str, CrashOperation] = {
    operation.name: operation
    for operation in (
        CrashOperation("prepare", lambda s: s.prepare(NEW)),
        CrashOperation("prepare on a parent", lambda s: s.prepare(NEW, "layer"), like="layer"),
        CrashOperation(
            "prepare on a loaded parent", lambda s: s.prepare(NEW, "layer"), holds="layer", like="layer"
        ),
        CrashOperation("prepare, mkfs fails", lambda s: s.prepare(NEW), mkfs_fails=True),
        CrashOperation("view", lambda s: s.view(NEW, "layer"), like="layer"),
        CrashOperation("commit", lambda s: s.commit(NEW, "running"), like="running"),
        CrashOperation("remove", lambda s: s.remove("leaving")),
        CrashOperation("remove a committed one", lambda s: s.remove("top")),
        CrashOperation("remove, device busy", lambda s: s.remove("leaving"), holds="leaving"),
        CrashOperation("remove, async", lambda s: s.remove("leaving"), flags=_ASYNC),
        CrashOperation("cleanup", lambda s: s.cleanup(), arrange=_remove_two, flags=_ASYNC),
        CrashOperation("update", _relabel),
        CrashOperation("reset_pool", lambda s: s.reset_pool(), forgets=True),
        CrashOperation("start after a reboot", _nothing, rebooted=True, from_start=True),
        CrashOperation("start after crashes", _nothing, crashes=_CUT_SHORT, from_start=True),
        CrashOperation("repair", lambda s: s.repair(), crashes=_CUT_SHORT),
    )
}

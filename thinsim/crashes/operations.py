"""`OPERATIONS` lists the operations during which the campaign kills the snapshotter.

Every operation finds the same snapshots: the committed ``base``; on it the committed ``layer``; and on that
the active ``running`` and ``leaving`` and the committed ``top``. Each has different content.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

NEW = "new"
"""The key or name that an operation creates."""

CrashAct = Callable[[DevmapperSnapshotter], Awaitable[object]]


async def _nothing(snapshotter: DevmapperSnapshotter) -> None:
    """Do nothing: the operation is the start of the snapshotter."""


@dataclass(frozen=True, slots=True)
class CrashOperation:
    """A `CrashOperation` runs *arrange*, then *act*, and is killed during *act*.

    - *flags*: configuration keys in addition to those of the profile.
    - *crashes*: operations that are killed first, each with the beginning of the step before which it dies.
    - *holds*: a snapshot whose device is held open; for a committed snapshot, since before its commit.
    - *rebooted*: the devices are gone, as after a reboot.
    - *from_start*: the steps of opening the snapshotter count.
    - *mkfs_fails*: mkfs fails.
    - *like*: the snapshot with the expected content of ``new``; empty if ``new`` has no content.
    - *forgets*: the operation deliberately leaves snapshots without devices.
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

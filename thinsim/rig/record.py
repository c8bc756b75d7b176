"""Records a kind of rig: its name, what it needs, how it is made, what it can do."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from thinsim.dm.interface import DeviceMapper
from thinsim.machine.findings import Finding
from thinsim.machine.journal import Journal
from thinsim.rig.contents import NOTHING, Contents
from thinsim.rig.interface import Rig
from thinsim.rig.shape import PoolShape


class Running(Protocol):
    """Makes the pool and all below it, and tears it down when the context ends."""

    def __call__(
        self, directory: Path, shape: PoolShape, journal: Journal, contents: Contents = NOTHING
    ) -> AbstractAsyncContextManager[Rig]:
        """Have a rig run in *directory*, which exists and keeps the pool's files.

        Everything taken from the machine is in *journal* before it is taken. EnvironmentLacksError names
        what the machine lacks.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Need:
    """One look at the machine; rigs that share a need share the object, and the look.

    *look* gets the directory where the pool's files would be. A need that is not *required* is shown by
    ``thinsim doctor`` and keeps no rig from running.
    """

    look: Callable[[Path], list[Finding]]
    required: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class RigRecord:
    """A kind of rig. ``registry.py`` lists them all."""

    name: str
    """The word on the command line and in scenario files."""
    needs: tuple[Need, ...]
    running: Running | None
    """None: the work runs in a guest, on another rig there (*inside*)."""
    inside: str = ""
    """The rig that does the work in the guest."""
    chosen_by_auto: bool = True
    mounts: bool = True
    """Devices have nodes, file systems are mounted, and a snapshotter can run in a process of its own."""
    sees_writes: bool = False
    """Every write to a thin device can be recorded."""
    takes_set_ups: bool = False
    """The pool can be set up as in containerd's documentation (``setup/``)."""
    in_kernel: bool = False
    """The device-mapper is this kernel's own: its names are the machine's."""
    lasting_device_mapper: Callable[[], DeviceMapper] | None = None
    """Returns the device-mapper for pools that stay when the command has ended, started if need be."""
    pool: str = ""
    """Describes the pool in the table of rigs for users, as Markdown."""
    best_for: str = ""
    """Describes in that table when to choose the rig."""

"""`RigRecord` describes a kind of rig: its name, its needs, its capabilities, the way to set it up."""

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
    """A `Running` sets up the pool and everything below it, and tears both down at the end."""

    def __call__(
        self, directory: Path, shape: PoolShape, journal: Journal, contents: Contents = NOTHING
    ) -> AbstractAsyncContextManager[Rig]:
        """Set up a rig in *directory*, which exists and keeps the pool's files.

        Each resource of the machine is in *journal* before it is taken. EnvironmentLacksError names what the
        machine lacks.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Need:
    """A `Need` checks one thing of the machine; rigs that share a need share the object and its one check.

    *look* receives the directory for the pool's files. ``thinsim doctor`` also shows a need that is not
    *required*, but no rig depends on it.
    """

    look: Callable[[Path], list[Finding]]
    required: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class RigRecord:
    """A `RigRecord` describes a kind of rig. ``registry.py`` lists them all."""

    name: str
    """The name on the command line and in scenario files."""
    needs: tuple[Need, ...]
    running: Running | None
    """None: the work runs in a guest, on another rig there (*inside*)."""
    inside: str = ""
    """The rig that does the work in the guest."""
    chosen_by_auto: bool = True
    mounts: bool = True
    """Devices have nodes, file systems are mounted, and a snapshotter can run in a process of its own."""
    sees_writes: bool = False
    """The rig can record every write to a thin device."""
    takes_set_ups: bool = False
    """The pool can be set up as in containerd's documentation (``setup/``)."""
    in_kernel: bool = False
    """The device-mapper is this kernel's own, so other programs of the machine share its names."""
    lasting_device_mapper: Callable[[], DeviceMapper] | None = None
    """Returns the device-mapper for pools that outlive the command; starts it if necessary."""
    pool: str = ""
    """Describes the pool in the table of rigs for users, as Markdown."""
    best_for: str = ""
    """Describes in that table when to choose the rig."""

"""`MachineState` lists things that a test may leave on the machine: mounts, loop devices, nodes, servers."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from fuse_backing.mounts import mounts
from thinsim.block.loop import attached_devices
from thinsim.dm.names import MAPPER


@dataclass(frozen=True)
class MachineState:
    """A `MachineState` is a snapshot of the machine, in sets that a test compares."""

    mounts: frozenset[str]
    loops: frozenset[str]
    nodes: frozenset[str]
    servers: frozenset[str]

    @classmethod
    def now(cls) -> "MachineState":
        return cls(
            frozenset(f"{mount.fstype} {mount.source} on {mount.mountpoint}" for mount in mounts()),
            frozenset(f"{device} -> {file}" for device, file in attached_devices().items()),
            frozenset(_nodes()),
            frozenset(_servers()),
        )

    def left_since(self, before: "MachineState") -> list[str]:
        left = (
            self.mounts - before.mounts,
            self.loops - before.loops,
            self.nodes - before.nodes,
            self.servers - before.servers,
        )
        return sorted(name for names in left for name in names)

    def below(self, directory: Path) -> "MachineState":
        """Return the part whose names contain *directory*. Nodes contain no directory."""
        name = str(directory)
        return MachineState(
            frozenset(mount for mount in self.mounts if name in mount),
            frozenset(device for device in self.loops if name in device),
            frozenset(),
            frozenset(server for server in self.servers if name in server),
        )


def _nodes() -> Iterator[str]:
    # Every dmsetup makes "control", even if the kernel has no device-mapper (libdm-iface.c, _create_control).
    yield from (name for name in os.listdir(MAPPER) if name != "control") if MAPPER.is_dir() else ()  # noqa: PTH208


def _servers() -> Iterator[str]:
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = process.info["cmdline"] or []
        is_server = any(
            word in ("fuse_backing", "thinsim.dm.daemon") or "serial=thinsim-scratch" in word
            for word in words
        )
        if is_server or any("fuse-backing" in word for word in words[:2]):
            yield f"{process.info['pid']}: {' '.join(words)}"

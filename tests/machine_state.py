"""`MachineState` lists things that a test may leave on the machine: mounts, loop devices, nodes, servers."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from fuse_backing.mounts import mounts, unmount
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


def mounted_or_attached(directory: Path) -> list[str]:
    """Return the mountpoints below *directory*, and the files there that loop devices use."""
    files = (file for file in attached_devices().values() if _is_below(directory, file))
    return [*_mountpoints(directory), *files]


def swept(directory: Path) -> list[str]:
    """End the servers that use *directory*, detach and unmount what is below it; return all their names.

    This frees the machine after a command that hangs; a device of the kernel's device-mapper stays.
    """
    found = []
    for server in list(_servers()):
        pid, _, command = server.partition(": ")
        if any(_is_below(directory, word) for word in command.split()):
            found.append(server)
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    found += mounted_or_attached(directory)
    # Before the mounts, with which the names of the files end.
    for device, file in attached_devices().items():
        if _is_below(directory, file):
            found += _nodes_removed(device)
            subprocess.run(["losetup", "--detach", device], check=False)
    for point in _mountpoints(directory):
        with suppress(OSError):  # it is gone with its server
            unmount(Path(point), lazy=True)
    return found


def _nodes_removed(device: Path) -> list[str]:
    """Remove the nodes of mapped devices that are other names of a loop device; return their names."""
    number = device.stat().st_rdev
    removed = []
    for node in map(MAPPER.joinpath, _nodes()):
        with suppress(FileNotFoundError):  # another test removed its own node meanwhile
            if node.stat().st_rdev == number:
                node.unlink()
                removed.append(str(node))
    return removed


def _mountpoints(directory: Path) -> list[str]:
    points = sorted((str(mount.mountpoint) for mount in mounts()), key=len, reverse=True)
    return [point for point in points if _is_below(directory, point)]


def _is_below(directory: Path, name: str) -> bool:
    return Path(name).is_relative_to(directory)


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

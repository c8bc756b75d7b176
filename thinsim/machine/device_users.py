"""`users_of_device` names the mounts, the processes and the loop devices that use a block device.

The kernel counts the openers of a device and names none of them. /proc and /sys do: the files of each process
(proc_pid_fd(5)), the mounts of each namespace (proc_pid_mountinfo(5)), and the file of each loop device.
"""

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fuse_backing.mounts import parse_mountinfo
from thinsim.block import loop

_PROCESSES = Path("/proc")


@dataclass(frozen=True, slots=True)
class DeviceUser:
    """A `DeviceUser` keeps a device or a file system busy."""

    what: str
    """The use in words, such as ``mounted on /mnt``."""
    fix: str
    """The command or act that ends the use."""


def users_of_device(node: Path, besides: Collection[int] = ()) -> list[DeviceUser]:
    """Return the users of the block device *node*, except processes whose ids are in *besides*.

    The list is empty if the node does not exist. A user in another process-id namespace is not visible.
    """
    return users_of_devices([node], besides)[node]


def users_of_devices(nodes: Iterable[Path], besides: Collection[int] = ()) -> dict[Path, list[DeviceUser]]:
    """Return the users of each of *nodes*, as `users_of_device` does, by one look at the machine."""
    found: dict[Path, list[DeviceUser]] = {node: [] for node in nodes}
    numbers: dict[int, list[Path]] = {}
    for node in found:
        with suppress(OSError):
            numbers.setdefault(node.stat().st_rdev, []).append(node)
    for number, user in _mounts_of(numbers):
        for node in numbers[number]:
            found[node].append(user)
    attached = loop.attached_devices()
    for node in found:
        named = {str(node), str(node.resolve())}
        found[node] += (
            DeviceUser(f"the file of {device}", f"losetup --detach {device}")
            for device, file in attached.items()
            if file in named
        )
    openers: dict[int, set[int]] = {number: set() for number in numbers}
    for pid, path in _open_files():
        if pid not in besides and path.startswith("/dev/"):
            openers.get(_device_number(path) or -1, set()).add(pid)
    for number, pids in openers.items():
        for node in numbers[number]:
            found[node] += _in_processes(iter(pids))
    return found


def users_of_mount(mountpoint: Path, besides: Collection[int] = ()) -> list[DeviceUser]:
    """Return the processes with an open file or a working directory on the mount at *mountpoint*.

    Processes whose ids are in *besides* do not count.
    """
    inside = f"{mountpoint.resolve()}/"
    found = (pid for pid, path in _open_files() if pid not in besides and f"{path}/".startswith(inside))
    return list(_in_processes(found))


def _mounts_of(numbers: Collection[int]) -> Iterator[tuple[int, DeviceUser]]:
    """Yield the mounts of devices with one of *numbers*, in each mount namespace."""
    devices = {f"{os.major(number)}:{os.minor(number)}": number for number in numbers}
    seen: set[str] = set()
    for pid in ("self", *map(str, _process_ids())):
        with suppress(OSError, ValueError):  # the process has just ended, or is another user's
            namespace = str((_PROCESSES / pid / "ns" / "mnt").readlink())
            if namespace in seen:
                continue
            seen.add(namespace)
            for mount in parse_mountinfo((_PROCESSES / pid / "mountinfo").read_bytes()):
                number = devices.get(mount.device)
                if number is None:
                    continue
                if pid == "self":
                    yield number, DeviceUser(f"mounted on {mount.mountpoint}", f"umount {mount.mountpoint}")
                else:
                    where = f"in the mount namespace of process {pid} ({_name(int(pid))})"
                    yield (
                        number,
                        DeviceUser(
                            f"mounted on {mount.mountpoint} {where}",
                            f"nsenter --target {pid} --mount umount {mount.mountpoint}",
                        ),
                    )


def _in_processes(pids: Iterator[int]) -> Iterator[DeviceUser]:
    for pid in sorted(set(pids)):
        yield DeviceUser(f"in use by process {pid} ({_name(pid)})", f"end process {pid}")


def _process_ids() -> list[int]:
    return sorted(int(path.name) for path in _PROCESSES.iterdir() if path.name.isdigit())


def _open_files() -> Iterator[tuple[int, str]]:
    """Yield the process id and the path of every open file and working directory of other processes."""
    for pid in _process_ids():
        if pid == os.getpid():
            continue
        folder = _PROCESSES / str(pid)
        with suppress(OSError):
            for link in (folder / "cwd", *(folder / "fd").iterdir()):
                with suppress(OSError):
                    yield pid, str(link.readlink())


def _device_number(path: str) -> int | None:
    """Return the number of the block device at *path*, None if there is none."""
    with suppress(OSError):
        found = Path(path).stat()
        if stat.S_ISBLK(found.st_mode):
            return found.st_rdev
    return None


def _name(pid: int) -> str:
    with suppress(OSError):
        return (_PROCESSES / str(pid) / "comm").read_text().strip()
    return "ended"

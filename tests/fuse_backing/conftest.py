"""These fixtures make mounts, hosts and loop devices, and remove them at the end of the test."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fuse_backing import mounts, runtime
from fuse_backing.fuse_uring import IO_URING
from tests.fuse_backing.backing_store import (
    DEADLINE,
    Store,
    missing_for_loop_devices,
    missing_for_mounts,
    missing_for_passthrough,
)
from tests.fuse_backing.hosts import Punched
from tests.fuse_transports import missing_for as missing_for_transport
from tests.host_file_systems import HostFileSystem, host_file_system, missing_for

OVER_URING = "server over io_uring"
"""The server serves the data, and its requests come through io_uring."""


@pytest.fixture(params=["kernel", "server", OVER_URING])
def data_served_by(request: pytest.FixtureRequest) -> str:
    """Run every test of a mount with passthrough, without, and without over io_uring."""
    missing = missing_for_mounts()
    if missing is not None:
        pytest.skip(missing)
    missing = {
        "kernel": missing_for_passthrough,
        "server": lambda: None,
        OVER_URING: lambda: missing_for_transport(IO_URING.name),
    }[request.param]()
    if missing is not None:
        pytest.skip(missing)
    return str(request.param)


@pytest.fixture
def make_store(tmp_path: Path, data_served_by: str) -> Iterator[Callable[..., Store]]:
    stores: list[Store] = []

    def make(*options: str, directory: Path | None = None) -> Store:
        base = tmp_path / f"store{len(stores)}"
        base.mkdir()
        store = Store(directory or base / "dir", base / "mnt", base / "control", base / "errors")
        store.passthrough = "on" if data_served_by == "kernel" else "off"
        uring = ("--fuse-uring", "enable") if data_served_by == OVER_URING else ()
        store.options = [*options, *uring]
        store.directory.mkdir(exist_ok=True)
        store.mountpoint.mkdir()
        store.start()
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.tear_down()
        assert mounts.mount_on(store.mountpoint) is None


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store()


@pytest.fixture
def small_directory(tmp_path: Path) -> Iterator[Path]:
    """Yield a directory on a file system of 8 MiB."""
    missing = missing_for_mounts()
    if missing is not None:
        pytest.skip(missing)
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "thinsim-test", place],
        check=True,
        timeout=DEADLINE,
    )
    yield place
    subprocess.run(["umount", place], check=True, timeout=DEADLINE)


@pytest.fixture
def attach() -> Iterator[Callable[[Path], Path]]:
    """Yield a function that attaches a loop device; detach all at the end of the test."""
    missing = missing_for_mounts() or missing_for_loop_devices()
    if missing is not None:
        pytest.skip(missing)
    devices: list[Path] = []

    def attach(file: Path) -> Path:
        found = subprocess.run(
            ["losetup", "--find", "--show", file],
            check=True,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        devices.append(Path(found.stdout.strip()))
        return devices[-1]

    yield attach
    for device in devices:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=DEADLINE)


@pytest.fixture
def leave_nothing_in_runtime_directory() -> Iterator[None]:
    before = set(runtime.runtime_directory().glob("*")) if runtime.runtime_directory().is_dir() else set()
    yield
    assert set(runtime.runtime_directory().glob("*")) <= before


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostFileSystem]:
    """Yield a file system of the kind that is the test's parameter."""
    missing = missing_for(request.param)
    if missing is not None:
        pytest.skip(missing)
    with host_file_system(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def fitting_store(host: HostFileSystem, make_store: Callable[..., Store]) -> Iterator[Store]:
    """Yield a store on *host*, which ends before the file system does."""
    store = make_store(directory=host.directory)
    yield store
    store.tear_down()


@pytest.fixture
def punched(host: HostFileSystem, fitting_store: Store) -> Iterator[Callable[..., Punched]]:
    made: list[Punched] = []

    def make(name: str, *, map_room: bool = True) -> Punched:
        made.append(Punched(host, fitting_store, name, map_room))
        return made[-1]

    yield make
    for each in made:
        os.close(each.fd)

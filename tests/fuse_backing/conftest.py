"""Mounts and loop devices for tests: nothing of them is left when the test ends."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backing_store import DEADLINE, Store, missing_for_loop_devices, missing_for_mounts

from fuse_backing import mounts, runtime


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    missing = missing_for_mounts()
    if missing is not None:
        pytest.skip(missing)
    stores: list[Store] = []

    def make() -> Store:
        base = tmp_path / f"store{len(stores)}"
        base.mkdir()
        store = Store(base / "dir", base / "mnt", base / "control", base / "errors")
        store.directory.mkdir()
        store.mountpoint.mkdir()
        store.start()
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.tear_down()
        assert mounts.mount_on(store.mountpoint) is None


@pytest.fixture
def store(make_store: Callable[[], Store]) -> Store:
    return make_store()


@pytest.fixture
def attach() -> Iterator[Callable[[Path], Path]]:
    """Attach loop devices, detached at the end of the test."""
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

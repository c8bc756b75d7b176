"""`swept` ends, detaches and unmounts what a failed test left in its directory."""

import subprocess
from pathlib import Path

import pytest

from tests.fuse_backing.backing_store import Store
from tests.host_file_systems import MIB
from tests.machine_state import mounted_or_attached, swept

pytestmark = pytest.mark.rig


@pytest.mark.parametrize("alive", [True, False], ids=["server alive", "server dead"])
def test_a_store_with_a_loop_device_on_it_goes_and_what_is_beside_it_stays(
    tmp_path: Path, alive: bool
) -> None:
    stores = []
    for name in ("a", "ab"):
        base = tmp_path / name
        for directory in (base / "dir", base / "mnt"):
            directory.mkdir(parents=True)
        stores.append(Store(base / "dir", base / "mnt", base / "control", base / "errors"))
        stores[-1].start()
    gone, stays = stores
    try:
        with gone.file("disk").open("wb") as file:
            file.truncate(MIB)
        subprocess.run(["losetup", "--find", gone.file("disk")], check=True)
        if not alive:
            gone.server.kill()
            gone.server.wait()
        assert len(swept(tmp_path / "a")) == 2 + alive
        gone.server.wait()
        assert mounted_or_attached(tmp_path) == [str(stays.mountpoint)]
        assert stays.server.poll() is None
        assert swept(tmp_path / "a") == []
    finally:
        for store in stores:
            store.tear_down()

"""`swept` and `runtime_place` remove what a failed test left, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.fuse_backing.backing_store import Store
from tests.host_file_systems import MIB
from tests.machine_state import mounted_or_attached, swept
from tests.runtime_place import runtime_place
from thinsim.machine.dmsetup import kernel_has_device_mapper

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


@pytest.mark.skipif(
    kernel_has_device_mapper(), reason="the drop-in refuses beside the kernel's device-mapper"
)
def test_a_pool_whose_device_mapper_does_not_answer_goes_with_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = f"test-{os.getpid()}-swept"

    def make_and_leave() -> None:
        with runtime_place(tmp_path) as runtime:
            monkeypatch.setenv("THINSIM_RUNTIME_DIR", str(runtime))
            monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path / "state"))
            words = ["--dir", str(tmp_path / "pool"), "--data-size", "64M", "--metadata-size", "2M"]
            subprocess.run([sys.executable, "-m", "thinsim", "pool", "create", pool, *words], check=True)
            assert Path("/dev/mapper", pool).exists()
            for server in psutil.process_iter(["cmdline"]):
                if f"{runtime}/dm/verbs" in (server.info["cmdline"] or []):
                    server.suspend()

    with pytest.raises(AssertionError, match=r"left by the test: .*store/data"):
        make_and_leave()
    assert mounted_or_attached(tmp_path) == []
    assert not Path("/dev/mapper", pool).exists()

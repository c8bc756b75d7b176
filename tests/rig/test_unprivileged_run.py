"""``thinsim reproduce`` without root uses the process rig, the home directory, and clear messages."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nobody import NOBODY, as_nobody, python_of_nobody
from thinsim.workload.block_history import BUNDLED

pytestmark = pytest.mark.root("becomes another user")


@pytest.fixture(scope="module")
def python() -> str:
    return python_of_nobody()


@pytest.fixture
def home() -> Iterator[Path]:
    # Only its owner may enter tmp_path.
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, NOBODY, NOBODY)
        yield Path(directory)


@pytest.mark.skipif(not BUNDLED.exists(), reason=f"{BUNDLED} does not exist")
def test_it_plays_the_recording_and_keeps_its_state_at_home(python: str, home: Path) -> None:
    done = as_nobody([python, "-m", "thinsim", "reproduce", "--setting", "on"], home)
    assert done.returncode == 0, done.stderr
    first = done.stderr.splitlines()[0]
    assert first == "rig process: no root; thinsim doctor lists what the others need"
    assert list((home / ".local/state/thinsim/runs").iterdir()) == []


def test_a_home_that_cannot_be_written_is_named(python: str) -> None:
    done = as_nobody([python, "-m", "thinsim", "reproduce", "--setting", "on"], Path("/proc"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("thinsim: cannot write the run's journal in /proc/.local/state/thinsim/runs: ")
    assert "THINSIM_STATE_DIR" in last


def test_the_emulated_rig_is_refused_with_the_fix(python: str, home: Path) -> None:
    done = as_nobody([python, "-m", "thinsim", "reproduce", "--rig", "emulated"], home)
    assert done.returncode == 1
    assert "root: effective user id 65534; run with sudo" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.alone
def test_doctor_works_without_a_home_that_can_be_read(python: str) -> None:
    done = as_nobody([python, "-m", "thinsim", "doctor", "--clean"], Path("/root"))
    assert done.returncode == 0, done.stderr
    assert "rig: process" in done.stdout


def test_doctor_asks_for_root_and_for_no_program_that_only_root_has_in_its_path(
    python: str, home: Path
) -> None:
    done = as_nobody([python, "-m", "thinsim", "doctor", "--json"], home, path="/usr/bin:/bin")
    found = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
    assert found["root"]["fix"] == "run with sudo"
    for name in ("mkfs.ext4", "blkdiscard", "dmsetup", "thin_check", "losetup (in the guest)"):
        if shutil.which(name.split()[0], path="/usr/sbin:/sbin"):
            assert found[name]["present"], found[name]
            assert found[name]["detail"].startswith(("/usr/sbin/", "/sbin/"))


def test_an_unreadable_directory_of_pools_is_named_with_the_variable(python: str) -> None:
    done = as_nobody([python, "-m", "thinsim", "pool", "list"], Path("/root"))
    assert done.returncode == 1
    assert (
        "cannot read /root/.local/state/thinsim/pools: Permission denied; set THINSIM_STATE_DIR"
        in done.stderr
    )

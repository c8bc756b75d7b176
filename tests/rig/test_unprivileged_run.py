"""``thinsim reproduce`` without root uses the process rig, the home directory, and clear messages."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository import REPOSITORY
from thinsim.workload.block_history import BUNDLED

NOBODY = 65534

pytestmark = pytest.mark.root("becomes another user")


def as_nobody(
    command: list[str], home: Path | None, path: str = os.environ["PATH"]
) -> "subprocess.CompletedProcess[str]":
    environment = {
        "PATH": path,
        "PYTHONPATH": f"{REPOSITORY}:{sysconfig.get_path('purelib')}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if home is not None:
        environment["HOME"] = str(home)
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd="/",
        env=environment,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )


@pytest.fixture(scope="module")
def python() -> str:
    """Return an interpreter that nobody may run: the current one may be in root's home directory."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            if as_nobody([candidate, "-c", "import thinsim.cli.main"], None).returncode == 0:
                return candidate
        except OSError:
            continue
    pytest.skip("no Python of this version that other users may run")


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
    done = as_nobody([python, "-m", "thinsim", "doctor", "--json"], home, "/usr/bin:/bin")
    found = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
    assert found["root"]["fix"] == "run with sudo"
    for name in ("mkfs.ext4", "blkdiscard", "dmsetup", "thin_check", "losetup (in the guest)"):
        if shutil.which(name.split()[0], path="/usr/sbin:/sbin"):
            assert found[name]["present"], found[name]
            assert found[name]["detail"].startswith(("/usr/sbin/", "/sbin/"))

"""The file system stressors of stress-ng find no failure on a store that a plain directory does not have."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fuse_backing.backing_store import Store, names_in

pytestmark = [pytest.mark.rig, pytest.mark.long]

STRESSORS = (
    *("dir", "dentry", "link", "symlink", "rename", "chmod", "chown", "filename", "xattr", "flock", "lockf"),
    *(
        "utime",
        "open",
        "copy-file",
        "fallocate",
        "seek",
        "hdd",
        "fiemap",
        "sync-file",
        "aiol",
        "mmap",
        "iomix",
    ),
)
SIZES = ("--hdd-bytes", "16m", "--fallocate-bytes", "16m", "--seek-size", "8m", "--fiemap-bytes", "8m")
MORE_SIZES = ("--sync-file-bytes", "8m", "--iomix-bytes", "16m", "--mmap-bytes", "16m")
DEADLINE = 120


def failure(place: Path, stressor: str) -> str:
    """Return the messages of a stressor that failed in a directory, nothing if it did not."""
    done = subprocess.run(
        [
            *("stress-ng", f"--{stressor}", "1", "--timeout", "1", "--verify", "--temp-path", str(place)),
            *(*SIZES, *MORE_SIZES),
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return "" if done.returncode == 0 else f"{done.returncode}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)
@pytest.mark.parametrize("stressor", STRESSORS)
def test_a_stressor_fails_on_a_store_only_where_the_host_fails(
    store: Store, tmp_path: Path, stressor: str
) -> None:
    if shutil.which("stress-ng") is None:
        pytest.skip("needs stress-ng (apt-get install stress-ng)")
    found = failure(store.mountpoint, stressor)
    if found:
        plain = tmp_path / "plain"
        plain.mkdir()
        assert failure(plain, stressor), found
    assert names_in(store.mountpoint) == []
    assert store.errors.read_bytes() == b""

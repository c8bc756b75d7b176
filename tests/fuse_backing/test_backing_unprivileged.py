"""A user who is not root mounts a store by ``fusermount3``, and ends it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuse_backing import mounts
from tests.nobody import NOBODY, as_nobody, python_of_nobody

pytestmark = pytest.mark.root("becomes another user")

ENTRIES = 3000
"""Their names need more than one answer to a listing."""
USE = f"""
import os
for number in range({ENTRIES}):
    open(f"mnt/{{number:060}}", "w").close()
assert len(os.listdir("mnt")) == {ENTRIES}
fd = os.open("mnt/disk", os.O_RDWR | os.O_CREAT)
data = os.urandom(1 << 20)
assert os.pwrite(fd, data, 4096) == len(data)
os.fsync(fd)
assert os.pread(fd, len(data), 4096) == data
assert os.lseek(fd, 0, os.SEEK_DATA) == 4096
assert os.fstatvfs(fd).f_bsize > 0
os.close(fd)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    if shutil.which("fusermount3") is None:
        pytest.skip("needs fusermount3 (fix: apt-get install fuse3)")
    if not Path("/dev/fuse").exists():
        pytest.skip("needs /dev/fuse")
    if Path("/dev/fuse").stat().st_mode & 0o6 != 0o6:
        pytest.skip("only root may open /dev/fuse (fix: chmod 666 /dev/fuse)")
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        for path in (home, home / "dir", home / "mnt"):
            path.mkdir(exist_ok=True)
            os.chown(path, NOBODY, NOBODY)
        yield home


def test_a_store_serves_its_user(home: Path) -> None:
    python = python_of_nobody()
    backing = [python, "-m", "fuse_backing"]
    mounted = as_nobody([*backing, "mount", "dir", "mnt"], home, home)
    assert mounted.returncode == 0, mounted.stderr
    try:
        found = mounts.mount_on(home.resolve() / "mnt")
        assert found is not None
        assert (found.fstype, found.source) == (mounts.FSTYPE, str(home.resolve() / "dir"))
        assert f"user_id={NOBODY}" in found.super_options
        assert {"nosuid", "nodev"} <= set(found.options.split(","))
        used = as_nobody([python, "-c", USE], home, home)
        assert (used.returncode, used.stderr) == (0, "")
    finally:
        ended = as_nobody([*backing, "unmount", "mnt"], home, home)
    assert ended.returncode == 0, ended.stderr
    assert mounts.mount_on(home.resolve() / "mnt") is None


def test_a_mountpoint_of_another_user_is_refused_with_the_reason(home: Path) -> None:
    os.chown(home / "mnt", 0, 0)
    refused = as_nobody([python_of_nobody(), "-m", "fuse_backing", "mount", "dir", "mnt"], home, home)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert (
        f"FUSE refused to mount on {home.resolve() / 'mnt'}: fusermount3: user has no write access"
        in refused.stderr
    )

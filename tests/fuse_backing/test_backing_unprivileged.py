"""A user who is not root mounts a store by ``fusermount3``, and ends it."""

import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuse_backing import mounts
from tests.nobody import NOBODY, as_nobody, python_of_nobody
from tests.repository import REPOSITORY

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


def test_a_mount_that_could_not_be_unmounted_is_refused_with_the_fix(home: Path, tmp_path: Path) -> None:
    # In a namespace of its own, /etc is an overlay without mtab, as in a minimal system.
    script = """set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" overlay /etc
rm -f /etc/mtab
cd "$2"
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$3" -m fuse_backing mount dir mnt
"""
    words = ["sh", "-c", script, "sh", str(tmp_path), str(home), python_of_nobody()]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{REPOSITORY}:{sysconfig.get_path('purelib')}",
        "HOME": str(home),
    }
    refused = subprocess.run(
        ["unshare", "--mount", *words], capture_output=True, text=True, check=False, env=environment
    )
    assert refused.returncode == 1
    assert refused.stderr == (
        f"Error: FUSE refused to mount on {home.resolve() / 'mnt'}: fusermount3 can't unmount without "
        "/etc/mtab; as root: ln -s ../proc/self/mounts /etc/mtab\n"
    )
    assert mounts.mount_on(home.resolve() / "mnt") is None

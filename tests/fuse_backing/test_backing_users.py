"""Other users use a store only if its mount allows it, and then as the permissions of the files allow."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nobody import as_nobody, python_of_nobody

pytestmark = pytest.mark.rig

USE = """
import os
print(open("mnt/open/disk").read())
open("mnt/open/mine", "w").close()
print(os.stat("mnt/open/mine").st_uid == os.getuid())
try:
    open("mnt/closed")
except PermissionError:
    print("refused")
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a directory that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        for directory in ("dir", "dir/open", "mnt"):
            (place / directory).mkdir()
        (place / "dir").chmod(0o755)
        (place / "dir" / "open").chmod(0o777)
        (place / "dir" / "open" / "disk").write_text("data")
        (place / "dir" / "closed").write_text("data")
        (place / "dir" / "closed").chmod(0o600)
        yield place


@pytest.mark.parametrize("options", [(), ("--allow-other",)])
def test_another_user_needs_the_option_and_the_permissions(place: Path, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "fuse_backing"]
    mountpoint = str(place / "mnt")
    subprocess.run([*command, "mount", str(place / "dir"), mountpoint, *options], check=True)
    try:
        used = as_nobody([python_of_nobody(), "-c", USE], place, place)
    finally:
        subprocess.run([*command, "unmount", mountpoint], check=True)
    if options:
        assert (used.stdout.split(), used.stderr) == (["data", "True", "refused"], "")
    else:
        assert used.returncode == 1
        assert "PermissionError" in used.stderr

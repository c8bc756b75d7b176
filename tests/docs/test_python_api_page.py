"""The programs on the page of the Python API run as they are shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from tests.repository import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reference" / "python-api.md").read_text()
SECONDS = 60


def example(begin: str) -> str:
    """Return the page's block of Python that contains *begin*."""
    return next(block for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S) if begin in block)


def test_the_test_of_the_page_passes_on_the_process_rig(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text(example("def test_"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--thinsim-rig", "process"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.rig
def test_the_program_of_the_page_prints_a_hole_punch(tmp_path: Path) -> None:
    files, store, program = tmp_path / "files", tmp_path / "store", tmp_path / "punches.py"
    files.mkdir()
    store.mkdir()
    program.write_text(example("StoreClient("))
    mount = [sys.executable, "-m", "fuse_backing", "mount", str(files), str(store)]
    subprocess.run(mount, check=True, timeout=SECONDS, capture_output=True)
    try:
        with subprocess.Popen([sys.executable, program, store], stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            with (store / "disk").open("wb") as disk:
                disk.write(b"\xa5" * (1 << 20))
                disk.flush()
                os.fsync(disk.fileno())
                fallocate(disk.fileno(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536, 65536)
            assert running.stdout.readline() == "disk 65536 65536 65536\n"
            running.terminate()
    finally:
        unmount = [sys.executable, "-m", "fuse_backing", "unmount", str(store)]
        subprocess.run(unmount, check=True, timeout=SECONDS, capture_output=True)

"""The extension must come before pyfuse3: anything else is refused, not served without fallocate."""

import subprocess
import sys

import pytest

from tests.fuse_backing.backing_store import DEADLINE, ROOT, missing_for_mounts


def test_pyfuse3_imported_first_is_refused_with_the_fix() -> None:
    if missing_for_mounts() is not None:
        pytest.skip(str(missing_for_mounts()))
    result = subprocess.run(
        [sys.executable, "-c", "import pyfuse3, fuse_backing.session"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 1
    assert "import fuse_backing.session first" in result.stderr


def test_the_commands_that_only_ask_do_not_load_fuse() -> None:
    subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys, fuse_backing.cli, fuse_backing.display, fuse_backing.unmounting;"
            "assert not {'pyfuse3', 'fuse_backing._native'} & set(sys.modules)",
        ],
        timeout=DEADLINE,
        check=True,
        cwd=ROOT,
    )

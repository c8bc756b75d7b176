"""`as_nobody` runs a command as a user without rights, with a Python that this user may run."""

import os
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

NOBODY = 65534


def as_nobody(
    command: list[str],
    home: Path | None,
    directory: Path = Path("/"),
    *,
    path: str = os.environ["PATH"],
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
        cwd=directory,
        env=environment,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )


@cache
def python_of_nobody() -> str:
    """Return an interpreter that nobody may run: the current one may be in root's home directory."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            if as_nobody([candidate, "-c", "import thinsim.cli.main"], None).returncode == 0:
                return candidate
        except OSError:
            continue
    pytest.skip("no Python of this version that other users may run")

"""`assert_sound` runs the kernel's own checker, where it is installed, on the metadata of a closed pool."""

import shutil
from pathlib import Path

from tests.thin.metadata_tools import run


def assert_sound(metadata: Path) -> None:
    """Check the metadata device or file with thin_check; Debian has it in thin-provisioning-tools."""
    if shutil.which("thin_check"):
        done = run("thin_check", metadata)
        assert done.returncode == 0, done.stdout + done.stderr

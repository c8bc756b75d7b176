"""`assert_sound` runs the kernel's own checker, where it is installed, on the metadata of a closed pool."""

import shutil
from pathlib import Path

from tests.thin.metadata_tools import run


def assert_sound(metadata: Path, *, leaks: bool = False) -> None:
    """Check the metadata device or file with thin_check; Debian has it in thin-provisioning-tools.

    With *leaks*, blocks may have references without a mapping, which newer versions complain about.
    """
    if shutil.which("thin_check"):
        done = run("thin_check", *(["--ignore-non-fatal-errors"] if leaks else []), metadata)
        assert done.returncode == 0, done.stdout + done.stderr

"""The programs that boot a guest: where they are."""

import shutil
import sys
from pathlib import Path

from thinsim.errors import EnvironmentLacksError

QEMU = "qemu-system-x86_64"
INSTALL = "make setup-vm, or pip install virtme-ng in thinsim's environment"


def virtme_ng() -> Path:
    """Return the path of virtme-ng's command: of this Python's environment, or of PATH."""
    own = Path(sys.executable).parent / "vng"
    if own.exists():
        return own
    found = shutil.which("vng")
    if found is None:
        raise EnvironmentLacksError(f"virtme-ng is not installed ({INSTALL})")
    return Path(found)

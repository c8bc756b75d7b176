"""A run's control sockets need a short path: a unix socket's path has at most 107 bytes (unix(7))."""

import os
import tempfile
from pathlib import Path

from thinsim.machine.journal import Journal, TakenKind

RUNTIME_VARIABLE = "THINSIM_RUNTIME_DIR"


def make_socket_directory(journal: Journal) -> tuple[Path, str]:
    """Make a directory for the run's sockets, mode 0700; return it and its entry in *journal*."""
    base = runtime_directory()
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = base / journal.path.stem
    entry = journal.begin(TakenKind.DIRECTORY, path=directory)
    directory.mkdir(mode=0o700)
    return directory, entry


def runtime_directory() -> Path:
    """Return the directory for sockets, a short path. It need not exist. THINSIM_RUNTIME_DIR overrides it."""
    chosen = os.environ.get(RUNTIME_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    return usual_runtime_directory()


def usual_runtime_directory() -> Path:
    """Return the user's directory for files that last until the next reboot. It need not exist."""
    if os.geteuid() == 0 and Path("/run").is_dir():
        return Path("/run/thinsim")
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base, "thinsim") if base else Path(tempfile.gettempdir(), f"thinsim-{os.geteuid()}")

"""Finds a short path for a run's control sockets, as a unix socket's has 107 bytes (unix(7))."""

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
    """Return where sockets go, on a short path; it need not exist yet. THINSIM_RUNTIME_DIR overrides it."""
    chosen = os.environ.get(RUNTIME_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    return usual_runtime_directory()


def usual_runtime_directory() -> Path:
    """Return the user's directory for what ends with this boot of the machine; it need not exist yet."""
    if os.geteuid() == 0 and Path("/run").is_dir():
        return Path("/run/thinsim")
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base, "thinsim") if base else Path(tempfile.gettempdir(), f"thinsim-{os.geteuid()}")

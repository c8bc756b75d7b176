"""`preloaded_library` finds the library that replaces /dev/mapper/control."""

import importlib.machinery
from pathlib import Path

from thinsim.errors import EnvironmentLacksError


def preloaded_library() -> Path:
    """Return the path of the library that replaces /dev/mapper/control.

    EnvironmentLacksError if it is not built.
    """
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_dmcontrol{suffix}")
        if path.exists():
            return path
    raise EnvironmentLacksError("the preloaded library _dmcontrol is not built: run make setup")

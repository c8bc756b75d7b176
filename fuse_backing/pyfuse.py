"""Loads pyfuse3 behind the extension, at the one place in the project that imports pyfuse3.

The extension takes the place of a few libfuse functions, so its symbols must be visible to all (RTLD_GLOBAL)
before pyfuse3's references are bound. Who needs the extension alone takes it from ``extension``, where it is
visible to nobody and pyfuse3 is not needed. Import ``pyfuse3`` from here.
"""

import ctypes
import os
import sys

from fuse_backing.extension import native

__all__ = ["native", "pyfuse3"]

if "pyfuse3" in sys.modules:
    raise ImportError(
        "pyfuse3 was imported before fuse_backing, so its mounts would have no fallocate: "
        "import fuse_backing.session first, and take pyfuse3 from there"
    )

# dlopen(3): RTLD_NOLOAD loads nothing again, and promotes what was opened as RTLD_LOCAL.
ctypes.CDLL(native.__file__, mode=os.RTLD_GLOBAL | os.RTLD_NOLOAD)

import pyfuse3  # noqa: E402

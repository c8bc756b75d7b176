"""Loads the extension, and only then pyfuse3: the one place in the project that imports pyfuse3.

The extension takes the place of a few libfuse functions, so its symbols must be visible to all (RTLD_GLOBAL)
before pyfuse3's references are bound. Import ``pyfuse3`` and ``_libfuse`` from here.
"""

import os
import sys

__all__ = ["_libfuse", "pyfuse3"]

if "pyfuse3" in sys.modules:
    raise ImportError(
        "pyfuse3 was imported before fuse_backing, so its mounts would have no fallocate: "
        "import fuse_backing.session first, and take pyfuse3 from there"
    )

_flags = sys.getdlopenflags()
sys.setdlopenflags(os.RTLD_GLOBAL | os.RTLD_NOW)
try:
    from fuse_backing import _libfuse
except ImportError as error:
    raise ImportError(
        f"fuse_backing's C extension is not built ({error}); in a checkout run: pip install -e ."
    ) from error
finally:
    sys.setdlopenflags(_flags)

import pyfuse3  # noqa: E402

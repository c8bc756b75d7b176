"""`pyfuse3` is loaded here, after the extension; no other module may import it.

The extension replaces a few libfuse functions, so its symbols must be visible to all libraries (RTLD_GLOBAL)
before pyfuse3's references are bound. Import ``pyfuse3`` from here. To use the extension alone, import it
from ``extension``, which needs no pyfuse3 and keeps the symbols private.
"""

import ctypes
import os
import sys

from fuse_backing.extension import native

__all__ = ["native", "pyfuse3"]

if "pyfuse3" in sys.modules:
    raise ImportError(
        "pyfuse3 was imported before fuse_backing, so its mounts would have no fallocate: "
        "import fuse_backing.session first, and import pyfuse3 from it"
    )

# dlopen(3): RTLD_NOLOAD loads nothing a second time, and promotes a library that was opened as RTLD_LOCAL.
ctypes.CDLL(native.__file__, mode=os.RTLD_GLOBAL | os.RTLD_NOLOAD)

import pyfuse3  # noqa: E402

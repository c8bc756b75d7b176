"""`explained` adds the snapshot, the files and the fix to an error of a snapshot's file system."""

from collections.abc import Mapping
from errno import EEXIST, ENOENT, ENOSPC, EROFS

__tracebackhide__ = True
"""pytest shows a failure at the test's own line."""

_FIXES: Mapping[int, str] = {
    EEXIST: "give the new files another name, or use overwrite",
    ENOENT: "write files of this name first",
    ENOSPC: "the mark snapshotter(base_image_size=...) makes the file system larger, the mark "
    "thin_pool(data_size=...) the pool",
    EROFS: "a view is read-only, use a snapshot of prepare",
}


def explained(error: OSError, subject: str) -> OSError:
    """Return *error* with the same ``errno`` and class. Its text names *subject* and the fix."""
    if error.errno is None:
        return error
    fix = f" (fix: {_FIXES[error.errno]})" if error.errno in _FIXES else ""
    return OSError(error.errno, f"{subject}: {error.strerror}{fix}")

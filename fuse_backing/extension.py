"""``native`` is the C extension; importing this module fails with the command that builds it."""

from fuse_backing.errors import ExtensionError

try:
    from fuse_backing import _native as native
except ImportError as error:
    raise ExtensionError(
        f"fuse_backing's C extension is not built ({error}); in a checkout run: pip install -e ."
    ) from error

__all__ = ["native"]

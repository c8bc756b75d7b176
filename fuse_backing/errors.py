"""`FuseBackingError` is the base of this package's errors; each class names whose fault it is.

The text of each error can be shown to a user as it is.

::

    FuseBackingError             every error below
    ├── UnfitDirectoryError      the directory to serve: missing, already served, on a host that cannot punch
    ├── MountpointError          the mountpoint: missing, busy, in the wrong place
    │   └── StaleMountError      the server of the mount has died
    ├── ExtensionError           the C extension is not built; it is also an ImportError
    ├── SessionError             FUSE itself refused, or was used twice in one process
    ├── FaultPlanError           a fault plan is malformed, or this mount cannot run it
    └── ControlError             a command over the control socket failed; has an ``errno``
        └── ServerGoneError      nobody answers: no server listens, or it ended before its answer

Errors of the host's files stay ``OSError``; the client that made the request gets their errno.
"""

import errno as errnos
from pathlib import Path


class FuseBackingError(Exception):
    """A `FuseBackingError` is a failure that this package explains itself."""


class UnfitDirectoryError(FuseBackingError):
    """The directory cannot be served."""


class MountpointError(FuseBackingError):
    """Nothing can be mounted at, or unmounted from, the path."""


class StaleMountError(MountpointError):
    """The mount still exists but its server has died: every access fails with ENOTCONN."""

    def __init__(self, mountpoint: Path) -> None:
        super().__init__(
            f"{mountpoint}: the server of this mount has died; run: fuse-backing unmount {mountpoint}"
        )
        self.mountpoint = mountpoint


class ExtensionError(FuseBackingError, ImportError):
    """The C extension can't be imported; the text gives the reason and the command that builds it."""


class SessionError(FuseBackingError):
    """A FUSE session could not be started."""


class FaultPlanError(FuseBackingError):
    """A fault plan is refused; the text names the fault and the key."""

    errno = errnos.EINVAL


class ControlError(FuseBackingError):
    """A command over the control socket has failed; ``errno`` is the server's or the socket's."""

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


class ServerGoneError(ControlError):
    """No server answers on the control socket; ``errno`` is the socket's."""

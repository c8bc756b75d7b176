"""The errors of this package have text fit for a user, and are split by whose fault they are.

::

    FuseBackingError             everything below
    ├── UnfitDirectoryError      the directory to serve: missing, already served, on a host that cannot punch
    ├── MountpointError          the mountpoint: missing, busy, in the wrong place
    │   └── StaleMountError      the server of the mount has died
    ├── ExtensionError           the C extension is not built; also an ImportError
    ├── SessionError             FUSE itself refused, or was used twice in one process
    ├── FaultPlanError           a plan of faults is malformed, or can't be played on this mount
    └── ControlError             a command over the control socket failed; has an ``errno``
        └── ServerGoneError      nobody answers: no server listens, or it ended before its answer

Errors of the host's files stay ``OSError``: they travel to whoever made the request as their errno.
"""

import errno as errnos
from pathlib import Path


class FuseBackingError(Exception):
    """Any failure that this package explains itself."""


class UnfitDirectoryError(FuseBackingError):
    """The directory cannot be served."""


class MountpointError(FuseBackingError):
    """Nothing can be mounted at, or unmounted from, the path."""


class StaleMountError(MountpointError):
    """The mount is still there but its server has died: every access gives ENOTCONN."""

    def __init__(self, mountpoint: Path) -> None:
        super().__init__(
            f"{mountpoint}: the server of this mount has died; run: fuse-backing unmount {mountpoint}"
        )
        self.mountpoint = mountpoint


class ExtensionError(FuseBackingError, ImportError):
    """The C extension can't be imported; the text says why and how to build it."""


class SessionError(FuseBackingError):
    """A FUSE session could not be started."""


class FaultPlanError(FuseBackingError):
    """A plan of faults cannot be taken; the text names the fault and the key."""

    errno = errnos.EINVAL


class ControlError(FuseBackingError):
    """A command over the control socket failed; ``errno`` is what the server, or the socket, answered."""

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


class ServerGoneError(ControlError):
    """No server answers on the control socket; ``errno`` is the socket's."""

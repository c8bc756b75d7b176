"""The snapshotter raises containerd's error classes for snapshots.

::

    ThinsimError
    ├── SnapshotterError
    │   ├── AlreadyExistsError        the key, the name or the device is taken
    │   ├── NotFoundError             no such snapshot or device
    │   ├── FailedPreconditionError   not in this state: it has children, is not active, cannot be removed now
    │   └── InvalidArgumentError      the request makes no sense: an immutable field, an uncommitted parent
    └── InvalidValueError
        └── InvalidConfigError        a configuration; lists every problem at once

The names are those of containerd's ``errdefs``. A device-mapper's refusal is not wrapped while a
snapshot is made or committed: it arrives as DeviceMapperError, with its ``errno``.
"""

from thinsim.errors import InvalidValueError, ThinsimError


class SnapshotterError(ThinsimError):
    """A snapshotter verb failed."""


class AlreadyExistsError(SnapshotterError):
    """What was to be made is there already."""


class NotFoundError(SnapshotterError):
    """The snapshot or device is not known."""


class FailedPreconditionError(SnapshotterError):
    """The snapshot is not in a state that permits this; containerd's collector goes on with the next."""


class InvalidArgumentError(SnapshotterError):
    """The request itself is wrong."""


class InvalidConfigError(InvalidValueError):
    """A configuration is malformed; *problems* holds each reason, in the order of the fields."""

    def __init__(self, problems: tuple[str, ...], source: str = "devmapper configuration") -> None:
        super().__init__(f"{source}: " + "; ".join(problems))
        self.problems = problems

"""The snapshotter raises the same classes of errors as containerd.

::

    ThinsimError
    ├── SnapshotterError
    │   ├── AlreadyExistsError        the key, the name or the device is taken
    │   ├── NotFoundError             the snapshot or device does not exist
    │   ├── FailedPreconditionError   the state forbids it: a child, not active, not removable now
    │   └── InvalidArgumentError      the request is invalid: an immutable field, an uncommitted parent
    └── InvalidValueError
        └── InvalidConfigError        the configuration is invalid; lists every problem at once

The names are the ones in containerd's ``errdefs``. Creating and committing a snapshot do not wrap a refusal
of the device-mapper: it arrives as DeviceMapperError with its ``errno``.
"""

from thinsim.errors import InvalidValueError, ThinsimError


class SnapshotterError(ThinsimError):
    """A `SnapshotterError` reports that a snapshotter verb has failed."""


class AlreadyExistsError(SnapshotterError):
    """The snapshot or device exists already."""


class NotFoundError(SnapshotterError):
    """The snapshot or device does not exist."""


class FailedPreconditionError(SnapshotterError):
    """The snapshot's state does not permit this; containerd's garbage collector continues with the next."""


class InvalidArgumentError(SnapshotterError):
    """The request itself is invalid."""


class InvalidConfigError(InvalidValueError):
    """A configuration is invalid; *problems* lists each reason, in the order of the fields."""

    def __init__(self, problems: tuple[str, ...], source: str = "devmapper configuration") -> None:
        super().__init__(f"{source}: " + "; ".join(problems))
        self.problems = problems

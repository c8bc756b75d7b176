"""Each error class names whose fault a failure is, so that a caller can act on it.

::

    ThinsimError                  everything below; its text is fit for a user, without a traceback
    ├── InvalidValueError         the caller's: a size, a table or a configuration is malformed
    │   ├── UnknownNameError      the caller's: the command line names something that does not exist
    │   └── WrongDocumentError    the caller's: a file is not a document of the expected kind
    ├── ConflictError             the caller's: a name is taken, a pool is in use or unfinished
    ├── EnvironmentLacksError     the machine's: it lacks something; the text names it and the fix
    ├── ProgramFailedError        another program's: a program or server failed or did not end
    ├── InvariantError            thinsim's, or the pool's: two measurements contradict each other
    ├── CombinedError             several failures, each with its own text
    └── KernelError               an operation that the kernel refuses; has an ``errno``
        └── DeviceMapperError     an operation that a device-mapper refuses, in dmsetup's words

The errors of the snapshotter are containerd's classes, in ``thinsim.snapshotter.errors``.
"""

import errno as errno_names
import os
from collections.abc import Iterator


def failures_of(error: BaseException) -> Iterator[BaseException]:
    """Yield *error*, or each exception inside it if it is a group of the failures of several tasks."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from failures_of(each)
    else:
        yield error


class ThinsimError(Exception):
    """A `ThinsimError` is a failure that thinsim explains to its user."""


class InvalidValueError(ThinsimError):
    """An `InvalidValueError` means that a value from outside is malformed or out of range."""


class UnknownNameError(InvalidValueError):
    """The command line names something that does not exist. The message lists the valid names."""


class WrongDocumentError(InvalidValueError):
    """A `WrongDocumentError` means that a file is not a document of the expected kind.

    *fault* is the place in the document and what is wrong there. *written_by* is the command that writes
    such a document.
    """

    def __init__(self, source: object, kind: str, fault: str, written_by: str) -> None:
        super().__init__(f"{source} is not a {kind}: {fault}. To write one, run: {written_by}")


class EnvironmentLacksError(ThinsimError):
    """An `EnvironmentLacksError` means that the machine lacks something the operation needs."""


class ConflictError(ThinsimError):
    """A `ConflictError` means that a name is taken, or that a pool is in use or unfinished."""


class ProgramFailedError(ThinsimError):
    """A `ProgramFailedError` means that a program, server or guest of thinsim failed or did not end."""


class InvariantError(ThinsimError):
    """Two measurements of one thing disagree, or the metadata of a pool is damaged."""


class CombinedError(ThinsimError):
    """A `CombinedError` is one text for the failures of several pieces of work."""


class KernelError(ThinsimError):
    """A `KernelError` is raised when the kernel, or its stand-in, refuses an operation with an ``errno``."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno

    def __str__(self) -> str:
        name = errno_names.errorcode.get(self.errno, str(self.errno))
        return f"{self.args[0]}: {os.strerror(self.errno)} ({name})"


class DeviceMapperError(KernelError):
    """A `DeviceMapperError` means a refusal; ``errno`` is the one that the kernel's ioctl would return."""

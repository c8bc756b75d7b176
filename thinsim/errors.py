"""Errors a caller can act on are split by whose fault they are.

::

    ThinsimError                  everything below; its text is fit for a user, without a traceback
    ├── InvalidValueError         yours: what was given is malformed, a size, a table, a configuration
    │   └── UnknownNameError      yours: a name of the command line that names nothing
    ├── ConflictError             yours: what was asked for does not fit what is there already
    ├── EnvironmentLacksError     the machine's: it lacks something; the text says what and how to get it
    ├── ProgramFailedError        outside: a program or server that thinsim started failed or hung
    ├── InvariantError            ours, or of the pool under test: what must hold does not
    ├── CombinedError             several failures, each with its own text
    └── KernelError               an operation refused as the kernel refuses it; has an ``errno``
        └── DeviceMapperError     from a device-mapper, in dmsetup's words

Snapshotter errors stand in ``thinsim.snapshotter.errors``: they are containerd's classes.
"""

import errno as errno_names
import os
from collections.abc import Iterator


def failures_of(error: BaseException) -> Iterator[BaseException]:
    """Yield what went wrong: *error* itself, or what is in it if it is a group of several tasks' failures."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from failures_of(each)
    else:
        yield error


class ThinsimError(Exception):
    """Any failure that thinsim explains itself."""


class InvalidValueError(ThinsimError):
    """A value from outside is malformed or out of range."""


class UnknownNameError(InvalidValueError):
    """A name from the command line is that of nothing there is; says what there is."""


class EnvironmentLacksError(ThinsimError):
    """The machine lacks what the operation needs."""


class ConflictError(ThinsimError):
    """What was asked for does not fit what is there: a name is taken, a pool is in use or unfinished."""


class ProgramFailedError(ThinsimError):
    """A program, server or guest that thinsim started failed, or did not end; the text has its words."""


class InvariantError(ThinsimError):
    """What must hold does not: two measurements of one thing disagree, or a pool's metadata is damaged."""


class CombinedError(ThinsimError):
    """Several failures of work that goes on side by side, or one after the other, in one text."""


class KernelError(ThinsimError):
    """An operation failed with a kernel ``errno``."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno

    def __str__(self) -> str:
        name = errno_names.errorcode.get(self.errno, str(self.errno))
        return f"{self.args[0]}: {os.strerror(self.errno)} ({name})"


class DeviceMapperError(KernelError):
    """A device-mapper refused; ``errno`` is what the kernel's ioctl would have returned."""

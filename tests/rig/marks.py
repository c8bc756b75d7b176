"""`marks_of` returns the marks with which pytest skips a test whose rig cannot run."""

import pytest

from thinsim.rig.record import RigRecord


def marks_of(record: RigRecord) -> tuple[pytest.MarkDecorator, ...]:
    """Return the marks of a test on the rig of *record*."""
    kernel = (pytest.mark.kernel,) if record.in_kernel else ()
    return (pytest.mark.rig, *kernel) if record.mounts else kernel

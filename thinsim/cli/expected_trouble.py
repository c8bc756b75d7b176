"""A command expects the trouble here: options that do not fit together, and warnings of its own making."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click


def cannot_be_used_with(option: str, other: str, reason: str) -> click.UsageError:
    """Return the error that *option* and *other* exclude each other."""
    return click.UsageError(f"{option} cannot be used with {other}: {reason}.")


def needs_option(option: str, needed: str, reason: str) -> click.UsageError:
    """Return the error that *option* makes sense only with *needed*, the options that the user has to add."""
    return click.UsageError(f"{option} needs {needed}: {reason}.")


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep the snapshotter's warnings out of the log within the block. Its errors are logged."""
    logger = logging.getLogger("thinsim.snapshotter")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)

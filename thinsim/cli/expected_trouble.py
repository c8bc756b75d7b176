"""Keeps the snapshotter's warnings unsaid where a command makes the trouble itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warnings_unsaid() -> Iterator[None]:
    """Within the block only errors of the snapshotter are logged."""
    logger = logging.getLogger("thinsim.snapshotter")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)

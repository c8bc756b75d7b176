"""Workers test at once, but for tests marked ``alone``: those clean the machine up, or measure it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(directory: Path, alone: bool) -> Iterator[None]:
    """Hold a turn among the processes that name *directory*: beside the others, or *alone*.

    flock(2) lets a new reader pass a waiting writer, for ever if readers keep coming. So each passes a gate
    first, where a writer stays until it has its turn. A process that dies gives both locks back.
    """
    with (directory / "gate").open("w") as gate, (directory / "turn").open("w") as taken:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(taken, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield

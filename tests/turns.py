"""Workers test in parallel, but a test marked ``alone`` runs alone, as it cleans or measures the machine."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(directory: Path, alone: bool) -> Iterator[None]:
    """Hold a turn among the processes that name *directory*: beside the others, or *alone*.

    flock(2) lets new readers pass a waiting writer, forever if they keep coming. So everyone passes a gate
    first, and a writer holds the gate until it has its turn. The kernel frees both locks of a dead process.
    """
    with (directory / "gate").open("w") as gate, (directory / "turn").open("w") as taken:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(taken, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield

"""`runtime_place` makes a directory for sockets, and removes all that a failed test left there."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine_state import swept


@contextmanager
def runtime_place(*more: Path) -> Iterator[Path]:
    """Yield a directory in /run, since the path of a socket must be short.

    At the end nothing may be left there or in the directories *more*, even if a command hangs or a refusal
    does not come. The test fails then, and this function removes the leftovers.
    """
    place = Path(tempfile.mkdtemp(prefix="thinsim-test-", dir="/run"))
    try:
        yield place
    finally:
        left = [name for directory in (place, *more) for name in swept(directory)]
        shutil.rmtree(place)
    assert not left, "left by the test: " + "; ".join(left)

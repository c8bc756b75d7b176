"""``python -m tests.node.containerd.committing_writer FILE`` commits states until its standard input ends.

State N has the number N in every value, so a mixture of two states shows. The program prints a line when the
first one is there.
"""

import select
import sys
from pathlib import Path

from tests.node.containerd.bolt_writer import BoltShape, BoltTree, BoltWriter

PAUSE = 0.002
"""The seconds between two commits; a commit of bbolt waits at least as long for its fdatasync."""


def state(number: int) -> BoltTree:
    """Return a tree with *number* in each of its values."""
    value = str(number).encode()
    return {
        **{bytes([65 + each]): {b"k%d" % key: value for key in range(30)} for each in range(number % 7 + 3)},
        b"direct": value,
        b"large": {b"value": value * 2000},
    }


def main() -> None:
    writer = BoltWriter(Path(sys.argv[1]), BoltShape(512, 5, 3))
    number = writer.commit(state(writer.transaction + 1))
    print(number, flush=True)
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        writer.commit(state(writer.transaction + 1))
    writer.close()


if __name__ == "__main__":
    main()

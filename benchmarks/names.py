"""``python -m benchmarks.names`` compares the names of the store with those of the host and of its peers.

Names are everything but data: create, stat, open, readdir, rename, unlink, and the life of a tree of small
files. It needs root. It skips a peer that can't be compiled, with a message.
"""

import sys
from typing import Any

import click

from benchmarks.names_contenders import CONTENDERS, PLAIN_DIRECTORY
from benchmarks.names_rows import QUICK, SIZES, steps
from benchmarks.turns import TurnedBenchmark, turned_options

BENCHMARK = TurnedBenchmark(CONTENDERS, PLAIN_DIRECTORY, steps, SIZES, QUICK)


@click.command(help=__doc__)
@turned_options
def main(**options: Any) -> None:
    sys.exit(BENCHMARK.run(**options))


if __name__ == "__main__":
    main()

"""``python -m benchmarks.backing`` compares the store below a loop device with a plain file and its peers.

It needs root, fio, e2fsprogs and util-linux. It skips a peer that is not installed, with a message.
"""

import sys
from typing import Any

import click

from benchmarks.backing_contenders import CONTENDERS, PLAIN
from benchmarks.backing_rows import TurnSizes, steps
from benchmarks.turns import TurnedBenchmark, turned_options

BENCHMARK = TurnedBenchmark(CONTENDERS, PLAIN, steps, TurnSizes(), TurnSizes(16 << 20, 128 << 20, 0.2))


@click.command(help=__doc__)
@turned_options
def main(**options: Any) -> None:
    sys.exit(BENCHMARK.run(**options))


if __name__ == "__main__":
    main()

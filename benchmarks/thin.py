"""``python -m benchmarks.thin`` compares an emulated thin device with a loop device and with qcow2 over FUSE.

It needs root and fio. It skips a peer that is not installed, with a message.
"""

from typing import Any

import click

from benchmarks.backing_rows import TurnSizes
from benchmarks.thin_contenders import CONTENDERS, PLAIN
from benchmarks.thin_rows import SIZES, steps
from benchmarks.turns import TurnedBenchmark, turned_options

BENCHMARK = TurnedBenchmark(CONTENDERS, PLAIN, steps, SIZES, TurnSizes(16 << 20, 128 << 20, 0.2))


@click.command(help=__doc__)
@turned_options
def main(**options: Any) -> None:
    BENCHMARK.run(**options)


if __name__ == "__main__":
    main()

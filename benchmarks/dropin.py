"""``python -m benchmarks.dropin``: what a call of the drop-in dmsetup costs, wall time of the process.

Beside it the same process without the preloaded control device: ``dmsetup splitname`` opens none.
"""

import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import click

from thinsim.dm.standing.dropin import install
from thinsim.dm.standing.places import Places
from thinsim.pools.records import PoolRecords


@click.command(help=__doc__)
@click.option("--calls", type=click.IntRange(1), default=100, show_default=True)
@click.option("--pool", help="A standing pool (thinsim pool create); without it only version is called.")
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(calls: int, pool: str | None, json_path: Path | None) -> None:
    environment = {**os.environ, **install(Places.of_this_user())}
    commands = {"version": ["dmsetup", "version"], "splitname": ["dmsetup", "splitname", "a-b", "LVM"]}
    if pool is not None:
        PoolRecords().find(pool)
        commands |= {"status": ["dmsetup", "status", pool], "info": ["dmsetup", "info", pool]}
    for command in commands.values():
        subprocess.run(command, env=environment, check=True, capture_output=True)
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(calls):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            taken[name].append((time.perf_counter() - began) * 1000)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, median in medians.items():
        over = median - medians["splitname"]
        click.echo(f"dmsetup {name:10} {median:6.2f} ms, {over:6.2f} ms more than splitname")
    if json_path is not None:
        json_path.write_text(json.dumps(taken) + "\n")


if __name__ == "__main__":
    main()

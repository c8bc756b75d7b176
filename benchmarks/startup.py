"""``python -m benchmarks.startup`` measures ``thinsim --help`` beside an empty Python program.

Both take turns. The processor time is that of the process and of its children.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click

COMMANDS = {
    "thinsim --help": (sys.executable, "-m", "thinsim", "--help"),
    "python -c pass": (sys.executable, "-c", "pass"),
}


@click.command(help=__doc__)
@click.option("--calls", type=click.IntRange(1), default=15, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(calls: int, json_path: Path | None) -> None:
    taken: dict[str, dict[str, list[float]]] = {name: {"wall": [], "processor": []} for name in COMMANDS}
    for number in range(calls + 1):
        for name, command in COMMANDS.items():
            wall, processor = measure(command)
            if number:  # the first round is for warming up
                taken[name]["wall"].append(wall)
                taken[name]["processor"].append(processor)
    for name, of_it in taken.items():
        wall, processor = statistics.median(of_it["wall"]), statistics.median(of_it["processor"])
        click.echo(f"{name:16} {wall:6.3f} s, processor {processor:6.3f} s")
    if json_path is not None:
        json_path.write_text(json.dumps(taken) + "\n")


def measure(command: tuple[str, ...]) -> tuple[float, float]:
    """Return the seconds of wall and processor time that *command* takes."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, os.times()
    user = after.children_user - before.children_user
    return wall, user + after.children_system - before.children_system


if __name__ == "__main__":
    main()

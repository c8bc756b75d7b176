"""``python -m benchmarks.removal`` measures how long a prepare waits while a large device is removed.

It runs on the emulated rig and needs root. It writes a device of --size in random order, so that the blocks
are scattered and the discard takes long. At the start of the discard it prepares another snapshot. All
contenders take turns in each round, on one pool.
"""

import json
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import trio

from thinsim.benchmark.intervals import median_interval
from thinsim.machine.working_directory import working_directory
from thinsim.rig import emulated
from thinsim.rig.emulated import EmulatedRig
from thinsim.rig.shape import PoolShape
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.host import SnapshotHost
from thinsim.snapshotter.interface import Mount
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter
from thinsim.units import Bytes

BLOCK = 64 << 10
CONTENDERS: Mapping[str, Mapping[str, object]] = {
    "one call, one verb at a time (containerd)": {},
    "one call, concurrent": {"concurrent": True},
    "steps up to 256 MiB, concurrent": {"concurrent": True, "discard_step": "256MiB"},
    "steps up to 16 MiB, concurrent": {"concurrent": True, "discard_step": "16MiB"},
}
ALONE = "prepare alone"


class WatchedHost:
    """A `WatchedHost` is a SnapshotHost that signals the start of a discard."""

    def __init__(self, host: SnapshotHost) -> None:
        self._host = host
        self.discarding = trio.Event()

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        await self._host.make_filesystem(device, fs_type, fs_options)

    async def discard(self, device: Path, step: int | None = None) -> None:
        self.discarding.set()
        await self._host.discard(device, step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        await self._host.remove_lost_and_found(mount)


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--size", "mebibytes", type=click.IntRange(1), default=128, show_default=True, help="MiB.")
@click.option("--dir", "directory", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(rounds: int, mebibytes: int, directory: Path | None, json_path: Path | None) -> None:
    taken = trio.run(measured, rounds, mebibytes << 20, directory)
    first = next(iter(CONTENDERS))
    click.echo(f"{'':42} prepare: median (interval), ratio; removal")
    for name, of_it in taken.items():
        waits = median_interval(of_it["prepare"])
        ratio = statistics.median(
            one / other for one, other in zip(of_it["prepare"], taken[first]["prepare"], strict=True)
        )
        removal = f"{statistics.median(of_it['remove']):7.0f} ms" if of_it["remove"] else ""
        click.echo(
            f"{name:42} {waits.median:7.0f} ms ({waits.low:.0f} to {waits.high:.0f})  {ratio:6.3f}  {removal}"
        )
    if json_path is not None:
        json_path.write_text(json.dumps(taken) + "\n")


async def measured(rounds: int, size: int, directory: Path | None) -> dict[str, dict[str, list[float]]]:
    """Return the milliseconds of each prepare and removal, by contender."""
    taken: dict[str, dict[str, list[float]]] = {
        name: {"prepare": [], "remove": []} for name in (*CONTENDERS, ALONE)
    }
    async with working_directory(directory, click.echo) as (place, journal):
        shape = PoolShape(f"thinsim-{journal.path.stem}", data_size=Bytes(2 * size + (256 << 20)))
        async with emulated.running(place, shape, journal) as rig:
            for number in range(rounds + 1):
                for name, flags in CONTENDERS.items():
                    prepare, remove, alone = await one_round(rig, place / "snapshotter", size, flags)
                    if number:  # the first round is a warm-up
                        taken[name]["prepare"].append(prepare)
                        taken[name]["remove"].append(remove)
                if number:
                    taken[ALONE]["prepare"].append(alone)
    return taken


async def one_round(rig: EmulatedRig, root: Path, size: int, flags: Mapping[str, object]) -> Sequence[float]:
    """Return the milliseconds of a prepare during a removal, of that removal, and of a prepare alone."""
    table: dict[str, Any] = {
        "root_path": str(root),
        "pool_name": rig.shape.name,
        "base_image_size": f"{size >> 20}MiB",
        "discard_blocks": True,
        **flags,
    }
    host = WatchedHost(rig.host)
    snapshotter = await DevmapperSnapshotter.open(Config.from_table(table), rig.dm, host)
    try:
        await snapshotter.prepare("base-key")
        await snapshotter.commit("base", "base-key")
        await snapshotter.prepare("large", "base")
        device = snapshotter.device_of("large").name
        places = list(range(size // BLOCK))
        random.Random(6).shuffle(places)
        for offset in places:
            await rig.write(device, offset * BLOCK, b"\xa5" * BLOCK)
        alone = await timed(snapshotter.prepare, "alone", "base")
        removal: list[float] = []

        async def remove() -> None:
            removal.append(await timed(snapshotter.remove, "large"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(remove)
            await host.discarding.wait()
            prepare = await timed(snapshotter.prepare, "beside", "base")
        for key in ("alone", "beside", "base"):
            await snapshotter.remove(key)
    finally:
        await snapshotter.close()
    return prepare, removal[0], alone


async def timed(act: Any, *arguments: str) -> float:
    """Return the milliseconds that *act* takes."""
    begun = time.perf_counter()
    await act(*arguments)
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    main()

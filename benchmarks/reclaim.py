"""``python -m benchmarks.reclaim`` compares a reclaim with the balloon method, beside fio on the same pool.

It runs on the emulated rig, and needs root and fio. In each round, --size of free space is scattered over the
pool: two thin devices were written in turn, 1 MiB at a time, and one of them was deleted. Then fio reads and
writes 4 KiB at random on a third device: alone, beside ``thinsim reclaim``, and beside the balloon, which
fills a throw-away thin device until the pool has no free block, discards and deletes it.
"""

import json
import mmap
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import click
import trio

from benchmarks.backing_rows import MIB
from thinsim.benchmark.intervals import median_interval
from thinsim.machine.working_directory import working_directory
from thinsim.rig import emulated
from thinsim.rig.emulated import EmulatedRig
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes

ALONE, RECLAIM, BALLOON = "fio alone", "thinsim reclaim", "balloon"
_KEPT, _LOST, _BUSY, _BALLOON = 1, 2, 3, 4
_STRIDE = MIB
_BUSY_BYTES = 256 * MIB
_SECONDS_ALONE = 10

Method = Callable[[EmulatedRig, int], Awaitable[None]]


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--size", "mebibytes", type=click.IntRange(16), default=10240, show_default=True, help="MiB.")
@click.option("--dir", "directory", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(rounds: int, mebibytes: int, directory: Path | None, json_path: Path | None) -> None:
    taken = trio.run(measured, rounds, mebibytes * MIB, directory)
    click.echo(f"{'':18} seconds, ratio to the balloon; fio's rate as a ratio to fio alone; freed")
    for name in (RECLAIM, BALLOON):
        seconds = median_interval(taken[name]["seconds"])
        ratio = _ratio(taken[name]["seconds"], taken[BALLOON]["seconds"])
        rate = _ratio(taken[name]["rate"], taken[ALONE]["rate"])
        freed = statistics.median(taken[name]["freed"]) / (mebibytes * MIB)
        click.echo(
            f"{name:18} {seconds.median:7.1f} ({seconds.low:.1f} to {seconds.high:.1f})  {ratio:6.3f}  "
            f"{rate:6.3f}  {freed:.1%}"
        )
    longest = statistics.median(taken[RECLAIM]["longest_pause"])
    click.echo(f"the longest pause of a reclaim: {longest * 1000:.0f} ms (median of the rounds)")
    if json_path is not None:
        json_path.write_text(json.dumps({"size": mebibytes * MIB, "taken": taken}) + "\n")


def _ratio(mine: list[float], others: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(mine, others, strict=True))


async def measured(rounds: int, size: int, directory: Path | None) -> Mapping[str, dict[str, list[float]]]:
    """Return the figures of each contender, one per round: seconds, requests per second, bytes."""
    names = ("seconds", "rate", "freed", "longest_pause")
    taken: dict[str, dict[str, list[float]]] = {
        contender: {name: [] for name in names} for contender in (ALONE, RECLAIM, BALLOON)
    }
    async with working_directory(directory, lambda text: click.echo(text, err=True)) as (place, journal):
        shape = PoolShape(
            f"thinsim-{journal.path.stem}",
            data_size=Bytes(2 * size + size // 4 + 2 * _BUSY_BYTES),
            metadata_size=Bytes(64 * MIB + size // 1024),
            features=("skip_block_zeroing",),
        )
        async with emulated.running(place, shape, journal) as rig:
            await _create(rig, _BUSY, _BUSY_BYTES)
            await _fill(rig, _BUSY, 0, _BUSY_BYTES)
            await _create(rig, _KEPT, size)
            for number in range(1, rounds + 1):
                click.echo(f"round {number} of {rounds}", err=True)
                await _measure(rig, ALONE, _nothing, size, taken[ALONE])
                for name, method in ((RECLAIM, _reclaim(taken[RECLAIM])), (BALLOON, _balloon)):
                    await _scatter(rig, size)
                    await _measure(rig, name, method, size, taken[name])
            for number in (_KEPT, _BUSY):
                await rig.dm.remove(_name(rig, number))
            problems = await rig.check()
            if problems:
                raise SystemExit(f"the pool is not sound: {problems[0]}")
    return taken


async def _measure(
    rig: EmulatedRig, name: str, method: Method, size: int, figures: dict[str, list[float]]
) -> None:
    held, begun = (await rig.host_allocation()).allocated, time.monotonic()
    rates: list[float] = []
    async with trio.open_nursery() as nursery:
        ended = trio.Event()
        nursery.start_soon(_fio, rig, ended, rates)
        await trio.sleep(1)
        started = time.monotonic()
        await method(rig, size)
        figures["seconds"].append(time.monotonic() - started)
        ended.set()
    figures["rate"].append(rates[0])
    figures["freed"].append(held - (await rig.host_allocation()).allocated)
    click.echo(f"  {name}: {figures['seconds'][-1]:.1f} s of {time.monotonic() - begun:.1f} s", err=True)


async def _nothing(_rig: EmulatedRig, _size: int) -> None:
    await trio.sleep(_SECONDS_ALONE)


def _reclaim(figures: dict[str, list[float]]) -> Method:
    async def run(rig: EmulatedRig, _size: int) -> None:
        command = [sys.executable, "-m", "thinsim", "reclaim", rig.shape.name, "--json"]
        done = await trio.run_process(command, capture_stdout=True)
        figures["longest_pause"].append(json.loads(done.stdout)["longest_pause"])

    return run


async def _balloon(rig: EmulatedRig, size: int) -> None:
    """Fill all free blocks but the last 1 MiB, then discard and delete the device."""
    free = rig.shape.data_size - _BUSY_BYTES - size - MIB
    await _create(rig, _BALLOON, free)
    await _fill(rig, _BALLOON, 0, free)
    await trio.run_process(["blkdiscard", str(rig.dm.path(_name(rig, _BALLOON)))])
    await _delete(rig, _BALLOON)


async def _fio(rig: EmulatedRig, ended: trio.Event, rates: list[float]) -> None:
    """Let fio read and write until *ended*, and append its requests per second."""
    output = rig.directory / "fio.json"
    command = [
        *("fio", "--name=busy", f"--filename={rig.dm.path(_name(rig, _BUSY))}", "--rw=randrw", "--bs=4k"),
        *("--ioengine=libaio", "--direct=1", "--iodepth=16", "--time_based", "--runtime=1d"),
        *("--output-format=json", "--eta=never", f"--output={output}"),
    ]
    process = await trio.lowlevel.open_process(command)
    try:
        await ended.wait()
    finally:
        process.terminate()  # fio then writes its figures
        with trio.CancelScope(shield=True):
            await process.wait()
    text = output.read_text()
    job = json.loads(text[text.index("{") :])["jobs"][0]
    rates.append(job["read"]["iops"] + job["write"]["iops"])


async def _scatter(rig: EmulatedRig, size: int) -> None:
    """Write two devices in turn and delete one, so that each free run is between two used ones."""
    await _create(rig, _LOST, size)
    # The first time, both devices get new blocks in turn. Later, the lost one fills the gaps again.
    for offset in range(0, size, _STRIDE):
        for number in (_KEPT, _LOST):
            await _fill(rig, number, offset, _STRIDE)
    await _delete(rig, _LOST)


async def _create(rig: EmulatedRig, number: int, size: int) -> None:
    await rig.dm.message(rig.shape.name, 0, f"create_thin {number}")
    table = f"0 {size // 512} thin {rig.dm.path(rig.shape.name)} {number}"
    await rig.dm.create(_name(rig, number), table)


async def _delete(rig: EmulatedRig, number: int) -> None:
    await rig.dm.remove(_name(rig, number), retry=True)
    await rig.dm.message(rig.shape.name, 0, f"delete {number}")


async def _fill(rig: EmulatedRig, number: int, offset: int, length: int) -> None:
    await trio.to_thread.run_sync(_write, rig.dm.path(_name(rig, number)), offset, length)


def _write(path: Path, offset: int, length: int) -> None:
    with mmap.mmap(-1, MIB) as buffer:  # O_DIRECT needs aligned memory
        buffer[:] = os.urandom(MIB)
        fd = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            for at in range(offset, offset + length, MIB):
                with memoryview(buffer) as whole, whole[: min(MIB, offset + length - at)] as piece:
                    os.pwritev(fd, [piece], at)
        finally:
            os.close(fd)


def _name(rig: EmulatedRig, number: int) -> str:
    return f"{rig.shape.name}-{number}"


if __name__ == "__main__":
    main()

"""`measure_devices` compares several active thin devices with loop devices, `measure_mapped` a large one.

The two take turns. A figure is the sum over all devices, and a ratio the median of the ratios of the turns.
"""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backing_contenders import sparse
from benchmarks.backing_rows import MIB, TURNS, UnsupportedError
from benchmarks.early_end import run
from benchmarks.thin_contenders import plain_loop
from benchmarks.thin_device import BLOCK_BYTES
from benchmarks.thin_pool import ServedThinPool, thin_pool
from thinsim.benchmark.intervals import median_interval
from thinsim.benchmark.rounds import turned

DEPTH = 16
"""Requests that all devices together have in flight, or one per device if there are more."""
WINDOW = 256
"""Blocks that the device-mapper looks up at once; one read of each window fills the table."""

_THIN, _PLAIN = "thin", "plain"

Figures = dict[str, float]
"""Names and figures. NAME is a rate of the thin devices, NAME_plain of the others, NAME_ratio their ratio."""


@dataclass(frozen=True, slots=True)
class SharedJob:
    """A `SharedJob` is work that fio does on all devices at once, at *depth* on each."""

    name: str
    kind: str
    block: str
    depth: int


@dataclass(frozen=True, slots=True)
class GrowthSizes:
    """`GrowthSizes` has the seconds of each turn, and the bytes of all devices where their number grows."""

    seconds: float = 1.0
    all_bytes: int = 512 * MIB


def measure_devices(count: int, directory: Path, sizes: GrowthSizes) -> Figures:
    """Measure *count* devices that are written once, with files in *directory*."""
    size = sizes.all_bytes // count
    depth = max(1, DEPTH // count)
    with _both(directory, size, count, "--devices", str(count)) as (pool, devices):
        for paths in devices.values():
            _fio(SharedJob("", "write", "1M", 1), paths, f"--size={size}")
        figures = _in_turn(
            (
                SharedJob("random_write", "randwrite", "4k", depth),
                SharedJob("random_read", "randread", "4k", depth),
                SharedJob("rewrite", "write", "1M", 1),
                SharedJob("read", "read", "1M", 1),
            ),
            devices,
            sizes.seconds,
        )
        return {"devices": count, **figures, "daemon_mib": _resident(pool)}


def measure_mapped(mapped: int, directory: Path, sizes: GrowthSizes) -> Figures:
    """Measure a device of *mapped* blocks, all of them mapped, before and after each was looked up once."""
    size = mapped * BLOCK_BYTES
    jobs = (
        SharedJob("random_read", "randread", "4k", DEPTH),
        SharedJob("random_read_alone", "randread", "4k", 1),
        SharedJob("random_write", "randwrite", "4k", DEPTH),
    )
    with _both(directory, size, 1, "--mapped", str(mapped)) as (pool, devices):
        before = _resident(pool)
        cold = _rate(jobs[0], devices[_THIN], sizes.seconds)
        stride = SharedJob("", f"read:{WINDOW * BLOCK_BYTES // 1024 - 4}k", "4k", 1)
        # Without a limit fio begins again until it has read as many bytes as the device has.
        _fio(stride, devices[_THIN], f"--size={size}", f"--io_size={max(1, mapped // WINDOW) * 4096}")
        figures = _in_turn(jobs, devices, sizes.seconds)
        after = _resident(pool)
        return {
            "mapped_blocks": mapped,
            "first_random_read": cold,
            **figures,
            "daemon_mib": after,
            "grown_mib": max(after - before, 0.1),
        }


@contextmanager
def _both(
    directory: Path, size: int, count: int, *words: str
) -> Iterator[tuple[ServedThinPool, Mapping[str, Sequence[Path]]]]:
    """Set up *count* thin devices and as many plain loop devices of *size* bytes."""
    ours, theirs = directory / "thin", directory / "plain"
    ours.mkdir(parents=True)
    theirs.mkdir()
    with ExitStack() as stack:
        pool = stack.enter_context(thin_pool(ours, size, *words))
        files = [sparse(theirs / str(number), size) for number in range(count)]
        plain = [stack.enter_context(plain_loop(file)) for file in files]
        yield pool, {_THIN: pool.devices, _PLAIN: plain}


def _in_turn(jobs: Sequence[SharedJob], devices: Mapping[str, Sequence[Path]], seconds: float) -> Figures:
    figures: Figures = {}
    for job in jobs:
        found: dict[str, list[float]] = {name: [] for name in devices}
        for turn in range(TURNS):
            for name in turned(list(devices), turn):
                found[name].append(_rate(job, devices[name], seconds))
        ratio = median_interval([one / other for one, other in zip(found[_THIN], found[_PLAIN], strict=True)])
        figures[job.name] = statistics.median(found[_THIN])
        figures[f"{job.name}_plain"] = statistics.median(found[_PLAIN])
        figures[f"{job.name}_ratio"] = ratio.median
        figures[f"{job.name}_ratio_low"] = ratio.low
        figures[f"{job.name}_ratio_high"] = ratio.high
    return figures


def _rate(job: SharedJob, paths: Sequence[Path], seconds: float) -> float:
    """Return requests per second, or MiB per second of 1 MiB."""
    return _fio(
        job, paths, f"--runtime={round(seconds * 1000)}ms", "--time_based", "--norandommap", "--randrepeat=0"
    )


def _fio(job: SharedJob, paths: Sequence[Path], *options: str) -> float:
    command = [
        *("fio", "--name=global", f"--rw={job.kind}", f"--bs={job.block}", f"--iodepth={job.depth}"),
        *("--ioengine=libaio", "--direct=1", "--thread", "--group_reporting", "--output-format=json"),
        *("--eta=never", *options),
    ]
    for number, path in enumerate(paths):
        command += [f"--name={number}", f"--filename={path}"]
    done = run(command)
    if done.returncode != 0:
        raise UnsupportedError(f"fio: {(done.stderr or done.stdout).strip()[-500:]}")
    (total,) = json.loads(done.stdout[done.stdout.index("{") :])["jobs"]
    return float(total["read"]["iops"] + total["write"]["iops"])


def _resident(pool: ServedThinPool) -> float:
    """Return the MiB of memory of the emulated device-mapper."""
    return float(pool.ask("statistics")["resident_bytes"]) / MIB

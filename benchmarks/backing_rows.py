"""`steps` lists the measurements on a loop device: data with fio, discards, mkfs and fstrim."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from benchmarks.early_end import run
from thinsim.benchmark.rounds import FigureRow

MIB = 1 << 20
TURNS = 4
"""Turns of each contender at a row in one round: the pace of a shared processor changes within seconds."""

_LOOPS = 4
"""Repetitions within a turn for work that takes only a tenth of a second."""

DISCARD = 64 * 1024
"""Bytes of one discard of the discard row: the data block size in containerd's documentation."""


class UnsupportedError(Exception):
    """The contender can't do this at all; the text has its error."""


@dataclass(frozen=True, slots=True)
class TurnSizes:
    """`TurnSizes` has the work of one turn, in bytes, seconds and files."""

    sequential: int = 128 * MIB
    large: int = 1024 * MIB
    random_seconds: float = 0.5
    files: int = 2000
    """Files that a turn creates, uses one by one, and removes."""
    entries: int = 100_000
    """Entries of a large directory."""
    tree_files: int = 5000
    """Files of a tree."""

    @property
    def device(self) -> int:
        """Return the size in bytes that the device must have."""
        return max(self.sequential * TURNS, self.large)


WRITE_NEW = FigureRow("write 1 MiB, new", "MiB/s")
WRITE_AGAIN = FigureRow("write 1 MiB, again", "MiB/s")
READ = FigureRow("read 1 MiB", "MiB/s")
RANDOM_READ = FigureRow("random read 4 KiB", "IO/s")
RANDOM_WRITE = FigureRow("random write 4 KiB", "IO/s")
DISCARDS = FigureRow("discard 64 KiB", "1/s")
LARGE_DISCARD = FigureRow("discard 1 GiB at once", "1/s")
MKFS = FigureRow("mkfs.ext4, fill, rm, fstrim", "1/s")

ROWS = (WRITE_NEW, WRITE_AGAIN, READ, RANDOM_READ, RANDOM_WRITE, DISCARDS, LARGE_DISCARD, MKFS)
DATA_ROWS = (WRITE_NEW, WRITE_AGAIN, READ, RANDOM_READ, RANDOM_WRITE)


Device = TypeVar("Device")
"""The thing that a contender offers: a path of a block device, or an object with more than that."""


@dataclass(frozen=True)
class RowStep(Generic[Device]):
    """A `RowStep` measures one row: *work* returns the figure of a turn; the two others are not timed.

    All get the offset of the turn's own part of the device.
    """

    row: FigureRow
    work: Callable[[Device, int], float]
    prepare: Callable[[Device, int], object] = lambda _device, _offset: None
    after: Callable[[Device, int], object] = lambda _device, _offset: None


def steps(sizes: TurnSizes) -> Sequence[RowStep[Path]]:
    """Return every row's step, in the order for a new device. The steps destroy its contents."""
    amount, whole, large = sizes.sequential, sizes.sequential * TURNS, sizes.large

    def fill(device: Path, offset: int) -> float:
        return throughput(device, "write", "1M", offset, amount)

    return (
        RowStep(WRITE_NEW, fill),
        RowStep(
            WRITE_AGAIN, lambda device, offset: throughput(device, "write", "1M", offset, amount, _LOOPS)
        ),
        RowStep(READ, lambda device, offset: throughput(device, "read", "1M", offset, amount, _LOOPS)),
        RowStep(RANDOM_READ, lambda device, _: rate(device, "randread", whole, sizes.random_seconds)),
        RowStep(RANDOM_WRITE, lambda device, _: rate(device, "randwrite", whole, sizes.random_seconds)),
        RowStep(DISCARDS, lambda device, offset: discards(device, offset, amount), fill),
        RowStep(
            LARGE_DISCARD,
            lambda device, _: 1 / seconds_of(["blkdiscard", "-l", str(large), str(device)]),
            lambda device, _: throughput(device, "write", "1M", 0, large),
        ),
        RowStep(MKFS, lambda device, _: 1 / _life_of_a_filesystem(device)),
    )


def take(
    step: RowStep[Device], turn: int, sizes: TurnSizes, device: Device
) -> tuple[float | None, str | None]:
    """Measure one row on *device*, in *turn* of ``TURNS``; return the figure, or None and the reason.

    EndedEarlyError if a signal came meanwhile.
    """
    offset = turn * sizes.sequential
    try:
        step.prepare(device, offset)
        os.sync()
        figure = step.work(device, offset)
        step.after(device, offset)
    except UnsupportedError as error:
        return None, str(error)
    return figure, None


def throughput(device: Path, kind: str, block: str, offset: int, amount: int, loops: int = 1) -> float:
    """Return the MiB per second of a sequential job of fio on *amount* bytes."""
    where = f"--offset={offset}", f"--size={amount}"
    job = fio(device, kind, f"--bs={block}", *where, f"--loops={loops}")
    return float(job[kind]["bw_bytes"]) / MIB


def rate(device: Path, kind: str, amount: int, seconds: float, *options: str) -> float:
    """Return the requests per second of a random job of fio, 4 KiB each, within *amount* bytes."""
    job = fio(
        device,
        kind,
        "--bs=4k",
        f"--size={amount}",
        f"--runtime={round(seconds * 1000)}ms",
        "--time_based",
        "--norandommap",
        "--randrepeat=1",
        *options,
    )
    return float(job[kind.removeprefix("rand")]["iops"])


def discards(device: Path, offset: int, amount: int) -> float:
    """Return the discards of 64 KiB per second, one after another, of *amount* bytes."""
    job = fio(device, "trim", f"--bs={DISCARD}", f"--offset={offset}", f"--size={amount}")
    return float(job["trim"]["iops"])


def fio(device: Path, kind: str, *options: str) -> dict[str, dict[str, float]]:
    """Run one fio job with direct, synchronous I/O, like an initiator that waits for each answer.

    *options* come last, and so replace these.
    """
    done = run(
        [
            "fio",
            f"--name={kind}",
            f"--filename={device}",
            f"--rw={kind}",
            "--ioengine=psync",
            "--direct=1",
            "--output-format=json",
            "--eta=never",
            *options,
        ]
    )
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if line.startswith("fio:")]
        raise UnsupportedError(_last_line("\n".join(errors) or done.stderr))
    job: dict[str, dict[str, float]] = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    return job


def _life_of_a_filesystem(device: Path) -> float:
    """Make a file system, fill it, delete all files, and trim it; return the seconds."""
    content = os.urandom(MIB)
    with tempfile.TemporaryDirectory(prefix="thinsim-bench-") as name:
        mountpoint = Path(name)
        began = time.monotonic()
        seconds_of(["mkfs.ext4", "-q", "-F", str(device)])
        try:
            seconds_of(["mount", str(device), str(mountpoint)])
            for number in range(64):
                (mountpoint / str(number)).write_bytes(content)
            os.sync()
            for number in range(64):
                (mountpoint / str(number)).unlink()
            os.sync()
            seconds_of(["fstrim", str(mountpoint)])
        finally:
            unmount_filesystem(mountpoint)
        return time.monotonic() - began


def unmount_filesystem(mountpoint: Path) -> None:
    """Unmount what is mounted on *mountpoint*, if anything is; Ctrl-C does not reach the program."""
    if mountpoint.is_mount():
        subprocess.run(["umount", str(mountpoint)], check=True, process_group=0)


def seconds_of(command: list[str]) -> float:
    """Run *command* and return the seconds that it takes; UnsupportedError with its last line if it fails."""
    began = time.monotonic()
    done = run(command)
    if done.returncode != 0:
        raise UnsupportedError(f"{command[0]}: {_last_line(done.stderr)}")
    return time.monotonic() - began


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(" ")]
    return lines[-1].strip() if lines else "failed without a message"

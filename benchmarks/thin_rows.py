"""`steps` lists the measurements on a device that provisions its blocks: data, shared blocks, discards."""

from collections.abc import Callable, Sequence

from benchmarks.backing_rows import (
    MIB,
    RowStep,
    TurnSizes,
    UnsupportedError,
    discards,
    fio,
    rate,
    seconds_of,
    throughput,
)
from benchmarks.file_tree import seconds_of_a_life
from benchmarks.server_time import ServerPart, rate_without
from benchmarks.thin_contenders import ProvisionedDevice
from thinsim.benchmark.rounds import FigureRow

PROVISION = FigureRow("provision 1 MiB", "MiB/s")
REWRITE = FigureRow("rewrite 1 MiB", "MiB/s")
READ = FigureRow("read 1 MiB", "MiB/s")
RANDOM_WRITE = FigureRow("random write 4 KiB, depth 16", "IO/s")
RANDOM_READ = FigureRow("random read 4 KiB, depth 16", "IO/s")
RANDOM_READ_ALONE = FigureRow("random read 4 KiB, depth 1", "IO/s")
RANDOM_READ_OF_NOTHING = FigureRow("random read 4 KiB of discarded blocks, depth 16", "IO/s")
"""A thin device answers these from its table, without a look at any file: no FUSE server is faster."""
READ_LIMIT = FigureRow(f"{RANDOM_READ.name}, if {ServerPart.ALL.value}", "IO/s")
WRITE_LIMIT = FigureRow(f"{RANDOM_WRITE.name}, if {ServerPart.ALL.value}", "IO/s")
READ_LIMIT_OF_CALLS = FigureRow(f"{RANDOM_READ.name}, if {ServerPart.CODE.value}", "IO/s")
WRITE_LIMIT_OF_CALLS = FigureRow(f"{RANDOM_WRITE.name}, if {ServerPart.CODE.value}", "IO/s")
"""No server can be faster than the first two rows, and no code with the same system calls than the others.

The plain loop has no server: its figures are what it reaches.
"""
FSYNC = FigureRow("write 4 KiB and fsync", "IO/s")
DISCARD = FigureRow("discard of 512 MiB", "MiB/s")
DISCARDS = FigureRow("discard 64 KiB", "1/s")
LIFE = FigureRow("mkfs, untar, rm, fstrim", "1/s")
BREAK = FigureRow("break sharing, 1 MiB", "MiB/s")
BREAK_SMALL = FigureRow("break sharing, 4 KiB per block", "1/s")

DEPTH = ("--ioengine=libaio", "--iodepth=16")
BLOCK_KIB = 64


def steps(sizes: TurnSizes) -> Sequence[RowStep[ProvisionedDevice]]:
    """Return every row's step, in the order for a new device.

    Rows that share blocks are last: a block that was shared once is copied at its next write.
    """
    amount, large = sizes.sequential, sizes.large // 2

    def sequential(kind: str, loops: int = 1) -> Callable[[ProvisionedDevice, int], float]:
        return lambda device, offset: throughput(device.path, kind, "1M", offset, amount, loops)

    fill = sequential("write")

    def at_depth(row: FigureRow, kind: str, *options: str) -> RowStep[ProvisionedDevice]:
        return RowStep(
            row, lambda device, _: rate(device.path, kind, amount, sizes.random_seconds, *options), fill
        )

    def limit(row: FigureRow, kind: str, part: ServerPart) -> RowStep[ProvisionedDevice]:
        def measure(device: ProvisionedDevice, _offset: int) -> float:
            if device.servers is None:
                raise UnsupportedError("the processor time of its servers is not known")
            return rate_without(
                part,
                device.servers(),
                sizes.random_seconds,
                lambda seconds: rate(device.path, kind, amount, seconds, *DEPTH),
            )

        return RowStep(row, measure, fill)

    def fsync(device: ProvisionedDevice, _offset: int) -> float:
        job = fio(
            device.path,
            "randwrite",
            *("--bs=4k", f"--size={amount}", "--fsync=1", "--time_based", "--norandommap"),
            f"--runtime={round(sizes.random_seconds * 1000)}ms",
        )
        return float(job["write"]["iops"])

    def discard(device: ProvisionedDevice, _offset: int) -> float:
        return large / MIB / seconds_of(["blkdiscard", "-l", str(large), str(device.path)])

    def fill_half(device: ProvisionedDevice, _offset: int) -> None:
        throughput(device.path, "write", "1M", 0, large)

    def share(device: ProvisionedDevice, offset: int) -> None:
        fill(device, offset)
        device.snapshot()

    def break_small(device: ProvisionedDevice, offset: int) -> float:
        where = f"--offset={offset}", f"--size={amount}", "--bs=4k"
        job = fio(device.path, f"write:{BLOCK_KIB - 4}k", *where, *DEPTH)
        return float(job["write"]["iops"])

    def forget_all(device: ProvisionedDevice, _offset: int) -> None:
        seconds_of(["blkdiscard", "-l", str(amount), str(device.path)])

    def forget(device: ProvisionedDevice, _offset: int) -> None:
        device.forget()

    return (
        RowStep(PROVISION, fill),
        RowStep(REWRITE, sequential("write", 4), fill),
        RowStep(READ, sequential("read", 4), fill),
        at_depth(RANDOM_WRITE, "randwrite", *DEPTH),
        at_depth(RANDOM_READ, "randread", *DEPTH),
        at_depth(RANDOM_READ_ALONE, "randread"),
        RowStep(
            RANDOM_READ_OF_NOTHING,
            lambda device, _: rate(device.path, "randread", amount, sizes.random_seconds, *DEPTH),
            forget_all,
        ),
        limit(WRITE_LIMIT, "randwrite", ServerPart.ALL),
        limit(WRITE_LIMIT_OF_CALLS, "randwrite", ServerPart.CODE),
        limit(READ_LIMIT, "randread", ServerPart.ALL),
        limit(READ_LIMIT_OF_CALLS, "randread", ServerPart.CODE),
        RowStep(FSYNC, fsync, fill),
        RowStep(DISCARD, discard, fill_half),
        RowStep(DISCARDS, lambda device, offset: discards(device.path, offset, amount), fill),
        RowStep(LIFE, lambda device, _: 1 / seconds_of_a_life(device.path, amount // 2)),
        RowStep(BREAK, sequential("write"), share, forget),
        RowStep(BREAK_SMALL, break_small, share, forget),
    )


SIZES = TurnSizes(sequential=128 * MIB, large=1024 * MIB)
QUICK = TurnSizes(16 * MIB, 128 * MIB, 0.2)

"""`steps` lists the measurements on a device that provisions its blocks: data with fio, and discards."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.backing_rows import MIB, RowStep, TurnSizes, fio, rate, seconds_of, throughput
from thinsim.benchmark.rounds import FigureRow

PROVISION = FigureRow("provision 1 MiB", "MiB/s")
REWRITE = FigureRow("rewrite 1 MiB", "MiB/s")
READ = FigureRow("read 1 MiB", "MiB/s")
RANDOM_WRITE = FigureRow("random write 4 KiB, depth 16", "IO/s")
RANDOM_READ = FigureRow("random read 4 KiB, depth 16", "IO/s")
RANDOM_READ_ALONE = FigureRow("random read 4 KiB, depth 1", "IO/s")
FSYNC = FigureRow("write 4 KiB and fsync", "IO/s")
DISCARD = FigureRow("discard of 512 MiB", "1/s")

ROWS = (PROVISION, REWRITE, READ, RANDOM_WRITE, RANDOM_READ, RANDOM_READ_ALONE, FSYNC, DISCARD)
DEPTH = ("--ioengine=libaio", "--iodepth=16")


def steps(sizes: TurnSizes) -> Sequence[RowStep]:
    """Return every row's step, in the order for a new device."""
    amount, large = sizes.sequential, sizes.large // 2

    def fill(device: Path, offset: int) -> float:
        return throughput(device, "write", "1M", offset, amount)

    def at_depth(kind: str, *options: str) -> RowStep:
        row = {"randwrite": RANDOM_WRITE, "randread": RANDOM_READ if options else RANDOM_READ_ALONE}[kind]
        return RowStep(
            row, lambda device, _: rate(device, kind, amount, sizes.random_seconds, *options), fill
        )

    def discard(device: Path, offset: int) -> float:
        return 1 / seconds_of(["blkdiscard", "-l", str(large), str(device)])

    def fsync(device: Path, offset: int) -> float:
        job = fio(
            device,
            "randwrite",
            *("--bs=4k", f"--size={amount}", "--fsync=1", "--time_based", "--norandommap"),
            f"--runtime={round(sizes.random_seconds * 1000)}ms",
        )
        return float(job["write"]["iops"])

    return (
        RowStep(PROVISION, fill),
        RowStep(REWRITE, lambda device, offset: throughput(device, "write", "1M", offset, amount, 4), fill),
        RowStep(READ, lambda device, offset: throughput(device, "read", "1M", offset, amount, 4), fill),
        at_depth("randwrite", *DEPTH),
        at_depth("randread", *DEPTH),
        at_depth("randread"),
        RowStep(FSYNC, fsync, fill),
        RowStep(DISCARD, discard, lambda device, _: throughput(device, "write", "1M", 0, large)),
    )


SIZES = TurnSizes(sequential=128 * MIB, large=1024 * MIB)

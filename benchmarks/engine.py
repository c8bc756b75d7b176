"""``python -m benchmarks.engine`` measures the cost of metadata as a pool grows by powers of ten.

One device is provisioned to 10^n blocks; at each power the same operations are measured. Metadata is in a
sparse file (--dir), and is really written and flushed. 10^7 blocks are 640 GB at 64 KiB. One process does all
work.
"""

import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from thinsim.benchmark.chart import growth_chart
from thinsim.report.environment import environment
from thinsim.thin.ids import ThinId
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE

SAMPLE = 10_000
DEVICE, SNAP = ThinId(0), ThinId(1)

CURVES = {
    "per second": (
        "provisioned_per_second",
        "looked_up_per_second",
        "sharing_broken_per_second",
        "discarded_per_second",
    ),
    "milliseconds": ("open_ms", "snapshot_ms", "delete_ms", "commit_ms_after_breaking"),
    "size": ("metadata_blocks", "resident_mib_of_the_open_pool", "resident_mib_most"),
}
"""The figures that share a diagram, by their unit."""


class FileStore:
    """A `FileStore` is a MetadataStore on a file of its own."""

    def __init__(self, path: Path, blocks: int) -> None:
        self.blocks = blocks
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, blocks * METADATA_BLOCK_SIZE)

    def read(self, block: int) -> bytes:
        return os.pread(self._fd, METADATA_BLOCK_SIZE, block * METADATA_BLOCK_SIZE)

    def write(self, block: int, content: bytes) -> None:
        os.pwrite(self._fd, content, block * METADATA_BLOCK_SIZE)

    def flush(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def resident() -> int:
    """Return the bytes of memory in use now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def provision(metadata: PoolMetadata, begin: int, end: int) -> None:
    """Map the blocks from *begin* up to *end*; commit as often as a busy pool would."""
    record = metadata.open_thin(DEVICE)
    for vblock in range(begin, end):
        block = metadata.allocate()
        assert block is not None
        metadata.insert(record, vblock, block)
        if vblock % 50_000 == 0:
            metadata.commit()
    metadata.close_thin(record)
    metadata.commit()


def measure(store: FileStore, mapped: int, provisioned: float) -> dict[str, float]:
    """Measure every operation on a pool of *mapped* blocks, and leave the pool as it was."""
    choose = random.Random(mapped)
    before = resident()
    opening = time.perf_counter()
    metadata = PoolMetadata(store, 128)
    opened = time.perf_counter() - opening
    keys = [choose.randrange(mapped) for _ in range(SAMPLE)]
    looking = seconds(lambda: [metadata.find(DEVICE, key) for key in keys])
    snapping = seconds(lambda: (metadata.create_snap(SNAP, DEVICE), metadata.commit()))
    record = metadata.open_thin(SNAP)

    def break_sharing() -> None:
        for key in keys[: min(SAMPLE, mapped)]:
            block = metadata.allocate()
            assert block is not None
            metadata.insert(record, key, block)

    breaking = seconds(break_sharing)
    committing = seconds(metadata.commit)
    discarded = min(SAMPLE, mapped)
    start = choose.randrange(mapped - discarded + 1)
    discarding = seconds(lambda: metadata.remove_range(record, start, start + discarded))
    metadata.close_thin(record)
    metadata.commit()
    deleting = seconds(lambda: (metadata.delete(SNAP), metadata.commit()))
    return {
        "mapped_blocks": mapped,
        "provisioned_per_second": round(provisioned),
        "open_ms": round(opened * 1000, 2),
        "looked_up_per_second": round(SAMPLE / looking),
        "snapshot_ms": round(snapping * 1000, 2),
        "sharing_broken_per_second": round(min(SAMPLE, mapped) / breaking),
        "delete_ms": round(deleting * 1000, 2),
        "commit_ms_after_breaking": round(committing * 1000, 2),
        "discarded_per_second": round(discarded / discarding),
        "metadata_blocks": metadata.space.counts.nr_allocated,
        "resident_mib_of_the_open_pool": round((resident() - before) / (1 << 20), 1),
        "resident_mib_most": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option(
    "--up-to",
    type=click.IntRange(3, 8),
    default=6,
    show_default=True,
    help="Last power of ten of mapped blocks.",
)
@click.option(
    "--dir", "base", type=click.Path(path_type=Path, exists=True), help="Directory for the metadata file."
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option(
    "--plot", "plot_path", type=click.Path(path_type=Path), help="Write the curves to this SVG or PNG."
)
def main(up_to: int, base: Path | None, json_path: Path | None, plot_path: Path | None) -> None:
    rows = []
    with tempfile.TemporaryDirectory(prefix="thinsim-bench-", dir=base) as directory:
        blocks = 10**up_to
        around = environment(Path(directory))
        store = FileStore(Path(directory) / "metadata", 20_000 + blocks // 50)
        metadata = PoolMetadata(store, 128)
        metadata.extend_data(2 * blocks + 100_000)
        metadata.create_thin(DEVICE)
        metadata.commit()
        del metadata
        mapped = 0
        for power in range(3, up_to + 1):
            began = time.perf_counter()
            provision(PoolMetadata(store, 128), mapped, 10**power)
            rate = (10**power - mapped) / (time.perf_counter() - began)
            mapped = 10**power
            rows.append(measure(store, mapped, rate))
            print("  ".join(f"{name} {value:,}" for name, value in rows[-1].items()), flush=True)
        store.close()
    if json_path is not None:
        json_path.write_text(json.dumps({"environment": around, "pools": rows}, indent=1) + "\n")
    if plot_path is not None:
        growth_chart(rows, "mapped_blocks", CURVES, "The engine's metadata as a pool grows", plot_path)


if __name__ == "__main__":
    main()

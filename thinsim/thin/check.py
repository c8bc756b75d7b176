"""The checker of a pool's metadata: what thin_check is for the kernel's."""

from collections import Counter

from thinsim.thin.metadata.image import MetadataDamagedError, decode, encode
from thinsim.thin.pool import Pool
from thinsim.thin.state import DeviceState


def check(pool: Pool) -> list[str]:
    """Return what is wrong with *pool*, one line a problem; an empty list for a sound one.

    Checked: each data block's references are its mappings (a metadata snapshot's included) and
    requests in flight; blocks lie within the pool and times not in the future; the space map's sums;
    the committed image reads back. A block that a failed write left allocated is reported as leaked.
    """
    problems: list[str] = []
    expected: Counter[int] = Counter()
    for known, record in pool.records.items():
        problems += _check_device(f"thin {known}", record.state, pool, expected)
    if pool.held is not None:
        for thin_id, device in pool.held.devices.items():
            problems += _check_device(f"metadata snapshot of thin {thin_id}", device, pool, expected)
    problems += _check_references(pool, expected)
    problems += _check_image(pool)
    return problems


def _check_device(name: str, device: DeviceState, pool: Pool, expected: Counter[int]) -> list[str]:
    problems: list[str] = []
    mappings = device.mappings
    runs = list(mappings.runs())
    if sum(run.length for run in runs) != len(mappings):
        problems.append(
            f"{name}: {len(mappings)} mapped blocks, but {sum(run.length for run in runs)} mappings"
        )
    if runs and runs[-1].vblock + runs[-1].length - 1 != mappings.highest:
        problems.append(f"{name}: highest mapped block is said to be {mappings.highest}")
    for field in ("creation_time", "snapshotted_time"):
        if getattr(device, field) > pool.time:
            problems.append(f"{name}: {field} {getattr(device, field)} is later than the pool's {pool.time}")
    for run in runs:
        if run.time > pool.time:
            problems.append(
                f"{name}: block {run.vblock} mapped at {run.time}, later than the pool's {pool.time}"
            )
        if run.data_block + run.length > pool.space.nr_blocks:
            problems.append(
                f"{name}: block {run.vblock} maps beyond the pool's {pool.space.nr_blocks} blocks"
            )
        expected.update(range(run.data_block, run.data_block + run.length))
    return problems


def _check_references(pool: Pool, expected: Counter[int]) -> list[str]:
    problems: list[str] = []
    leaked = Counter(pool.leaked)
    allocated = 0
    for block in range(pool.space.nr_blocks):
        count = pool.space.count(block)
        allocated += count > 0
        mapped, in_flight = expected[block], pool.in_flight.count(block)
        if leaked[block]:
            problems.append(f"data block {block}: leaked, a write to it failed")
        if count != mapped + in_flight + leaked[block]:
            problems.append(
                f"data block {block}: {count} references, but {mapped} mappings and {in_flight} requests"
            )
    if allocated != pool.space.nr_allocated:
        problems.append(f"space map: {pool.space.nr_allocated} blocks said to be in use, {allocated} are")
    return problems


def _check_image(pool: Pool) -> list[str]:
    try:
        state = decode(pool.committed_image)
    except MetadataDamagedError as error:
        return [f"committed image: {error}"]
    return [] if encode(state) == pool.committed_image else ["committed image: reads back differently"]

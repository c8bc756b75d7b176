"""``thinsim pool`` creates and removes thin pools that outlive the command."""

import json
from dataclasses import asdict
from pathlib import Path

import click
import trio
from rich.table import Table

from fuse_backing.errors import FuseBackingError
from fuse_backing.runtime import control_socket
from fuse_backing.statuses import exit_status_help
from fuse_backing.store_client import StoreClient
from thinsim.cli.name_completion import pool_names
from thinsim.cli.output_console import print_table
from thinsim.cli.size import DEVICE_SIZE, UNITS, SizeType
from thinsim.cli.statuses import DONE, FAILED
from thinsim.errors import ThinsimError
from thinsim.machine.root import if_not_root
from thinsim.pools import lifecycle
from thinsim.pools.records import PoolRecord, PoolRecords
from thinsim.pools.rigs import device_mapper
from thinsim.rig.host_file import host_allocation
from thinsim.rig.registry import AUTO, LASTING, find_rig, rig_names
from thinsim.rig.shape import PoolShape
from thinsim.thin.status import PoolStatus, parse_pool_status
from thinsim.thin.table import FEATURE_WORDS, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE
from thinsim.units import Bytes, bytes_of, format_size, sectors

_BLOCK_SIZE = SizeType(bytes_of(MIN_BLOCK_SIZE), bytes_of(MAX_BLOCK_SIZE), bytes_of(MIN_BLOCK_SIZE))

_STANZA = """version = 2
[plugins."io.containerd.snapshotter.v1.devmapper"]
  pool_name = "{name}"
  root_path = "/var/lib/containerd/devmapper"
  base_image_size = "{size}"
  discard_blocks = true
"""


@click.group()
def pool() -> None:
    """Create, list, grow and remove thin pools.

    A pool consists of sparse files on a backing store, two loop devices and /dev/mapper/NAME. It exists
    until thinsim pool remove. The other commands know the rig that a pool was created with.
    """


@pool.command(epilog=UNITS)
@click.argument("name")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    help="Put the pool's files in this directory, which is empty or does not exist.",
)
@click.option(
    "--data-size",
    type=DEVICE_SIZE,
    default="100G",
    show_default=True,
    help="Make the data device this large.",
)
@click.option(
    "--metadata-size",
    type=DEVICE_SIZE,
    default="10G",
    show_default=True,
    help="Make the metadata device this large. The kernel's documentation advises 48 bytes per data block, "
    "and at least 2M.",
)
@click.option(
    "--block-size",
    type=_BLOCK_SIZE,
    default="64K",
    show_default=True,
    help="Make data blocks this large: a multiple of 64K, at most 1G.",
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    type=click.Choice(FEATURE_WORDS),
    metavar="WORD",
    help=f"Add a feature word to the pool's table; may be repeated. Words: {', '.join(FEATURE_WORDS)}. "
    "Default: skip_block_zeroing.",
)
@click.option(
    "--rig",
    type=click.Choice([AUTO, *sorted(rig_names(LASTING))]),
    default=AUTO,
    show_default=True,
    help="Choose the device-mapper. kernel: this kernel's. emulated: the one of thinsim. "
    "auto: the kernel's, or the emulated one if the kernel has none.",
)
@click.option(
    "--beside-kernel",
    is_flag=True,
    help="Use the emulated device-mapper although the kernel has one. Both put their nodes in /dev/mapper.",
)
def create(
    name: str,
    directory: Path,
    data_size: int,
    metadata_size: int,
    block_size: int,
    features: tuple[str, ...],
    rig: str,
    beside_kernel: bool,
) -> None:
    """Create a pool and print the configuration for containerd.

    This does the work of the script in containerd's documentation: truncate, losetup and dmsetup. The files
    use no space until they are written. The stanza for config.toml goes to standard output.
    """
    if data_size < block_size:
        what = f"{format_size(data_size)} is not even one data block of {format_size(block_size)}"
        raise click.BadParameter(what, param_hint="'--data-size'")
    shape = PoolShape(
        name=name,
        data_size=Bytes(data_size),
        metadata_size=Bytes(metadata_size),
        block_size=sectors(block_size),
        features=features or ("skip_block_zeroing",),
    )
    made = lifecycle.create(shape, directory, rig=rig, beside_kernel=beside_kernel)
    click.echo(_STANZA.format(name=name, size=_base_image_size(data_size)), nl=False)
    use = "" if find_rig(made.rig).in_kernel else ' To use it in this shell, run: eval "$(thinsim env)"'
    click.echo(f"Created pool {name}.{use}", err=True)


@pool.command(epilog=UNITS)
@click.argument("name", shell_complete=pool_names)
@click.option("--data-size", type=DEVICE_SIZE, help="Grow the data device to this size.")
@click.option("--metadata-size", type=DEVICE_SIZE, help="Grow the metadata device to this size.")
def grow(name: str, data_size: int | None, metadata_size: int | None) -> None:
    """Enlarge the devices of a pool while it is in use."""
    shape = PoolRecords().find(name).shape
    lifecycle.grow(name, data_size or shape.data_size, metadata_size or shape.metadata_size)


@pool.command()
@click.argument("name", shell_complete=pool_names)
@click.option("--keep-files", is_flag=True, help="Keep the data and metadata files.")
def remove(name: str, keep_files: bool) -> None:
    """Remove a pool, its loop devices, its backing store and its files.

    The command refuses to remove a pool that is in use. It then names each active thin device, mount and
    process, with the commands that end the use.
    """
    lifecycle.remove(name, keep_files=keep_files)


@pool.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects; sizes in bytes.")
def list_pools(as_json: bool) -> None:
    """List the pools with their state and their space.

    The space is the bytes that the pool uses, that the host has allocated and that the host has freed.
    """
    known = PoolRecords()
    _print([_facts(known.find(name)) for name in known.names()], as_json)


@pool.command(epilog=exit_status_help({FAILED: "the pool is not running"}))
@click.argument("name", shell_complete=pool_names)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of one object; sizes in bytes.")
def status(name: str, as_json: bool) -> int:
    """Show the state and the space of a pool."""
    facts = _facts(PoolRecords().find(name))
    _print([facts], as_json)
    return DONE if facts["state"] == "running" else FAILED


def _facts(record: PoolRecord) -> dict[str, object]:
    """Return the cells of a pool's row, sizes in bytes."""
    facts: dict[str, object] = {
        "name": record.shape.name,
        "rig": record.rig,
        "directory": str(record.directory),
        "block_size": record.shape.block_bytes,
        "data_size": record.shape.data_size,
        "metadata_size": record.shape.metadata_size,
    }
    try:
        measured = trio.run(_measure, record)
    except (ThinsimError, FuseBackingError, OSError) as error:
        return {**facts, "state": f"not running: {error}"}
    return {**facts, "state": "running", **measured}


async def _measure(record: PoolRecord) -> dict[str, object]:
    text = await device_mapper(record.rig).status(record.shape.name)
    pool_status: PoolStatus = parse_pool_status(text)
    totals = (await StoreClient(control_socket(record.store)).totals_by_file()).get(lifecycle.DATA)
    return {
        "used": pool_status.used_data * record.shape.block_bytes,
        "host": host_allocation(record.files / lifecycle.DATA).allocated,
        "given_back": totals.freed if totals is not None else 0,
        "mode": pool_status.mode,
        "status": asdict(pool_status),
    }


_SIZES = ("size", "used", "host", "freed")


def _print(rows: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        fix = if_not_root("Pools") or ". To create one, run: thinsim pool create"
        click.echo(f"There are no pools{fix}")
        return
    table = Table(box=None)
    for column in ("name", "rig", "state", "size", "used", "host", "freed", "directory"):
        table.add_column(column, justify="right" if column in _SIZES else "left")
    for row in rows:
        table.add_row(
            *(str(row[key]) for key in ("name", "rig", "state")),
            *(_size(row.get(key)) for key in ("data_size", "used", "host", "given_back")),
            str(row["directory"]),
        )
    print_table(table)


def _size(value: object) -> str:
    return format_size(value) if isinstance(value, int) else "-"


def _base_image_size(data_size: int) -> str:
    """Return a tenth of the pool, as in containerd's example (10 GB of 100), at least 512 MiB."""
    mebibytes = max(data_size // 10 >> 20, 512)
    return f"{mebibytes >> 10}GB" if mebibytes % 1024 == 0 else f"{mebibytes}MB"

"""``thinsim pool`` makes thin pools that outlive it, for containerd or for trying things by hand."""

import json
from dataclasses import asdict
from pathlib import Path

import click
import trio
from rich.table import Table

from fuse_backing.errors import FuseBackingError
from fuse_backing.runtime import control_socket
from fuse_backing.store_client import StoreClient
from thinsim.cli.name_completion import pool_names
from thinsim.cli.output_console import output_console
from thinsim.cli.size import DEVICE_SIZE, UNITS, SizeType
from thinsim.cli.statuses import DONE, FAILED
from thinsim.errors import ThinsimError
from thinsim.pools import lifecycle
from thinsim.pools.records import PoolRecord, PoolRecords
from thinsim.pools.rigs import device_mapper
from thinsim.report.uncut import uncut
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
    """Thin pools that stay until they are removed."""


@pool.command(epilog=UNITS)
@click.argument("name")
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="For its files.")
@click.option("--data-size", type=DEVICE_SIZE, default="100G", show_default=True, help="Of the data device.")
@click.option(
    "--metadata-size",
    type=DEVICE_SIZE,
    default="10G",
    show_default=True,
    help="Of the metadata device; the kernel's guide: 48 bytes a data block, at least 2M.",
)
@click.option(
    "--block-size",
    type=_BLOCK_SIZE,
    default="64K",
    show_default=True,
    help="Of a data block: a multiple of 64K, to 1G.",
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    type=click.Choice(FEATURE_WORDS),
    help="A feature word of the table; may be repeated. Without any: skip_block_zeroing.",
)
@click.option(
    "--rig",
    type=click.Choice([AUTO, *sorted(rig_names(LASTING))]),
    default=AUTO,
    show_default=True,
    help="Whose device-mapper; auto: the kernel's own where it has one.",
)
@click.option(
    "--beside-kernel",
    is_flag=True,
    help="The emulated one also where the kernel has a device-mapper of its own.",
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
    """Make a pool: sparse files on a backing store, loop devices, /dev/mapper/NAME.

    The files take no space until they are written. Prints the stanza of containerd's config.toml.
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
    seen = (
        "the kernel has it" if find_rig(made.rig).in_kernel else 'a shell that sees it: eval "$(thinsim env)"'
    )
    click.echo(f"pool {name} stands; {seen}", err=True)


@pool.command(epilog=UNITS)
@click.argument("name", shell_complete=pool_names)
@click.option("--data-size", type=DEVICE_SIZE, help="Unchanged if not given.")
@click.option("--metadata-size", type=DEVICE_SIZE, help="Unchanged if not given.")
def grow(name: str, data_size: int | None, metadata_size: int | None) -> None:
    """Give a pool larger devices while it is in use."""
    shape = PoolRecords().find(name).shape
    lifecycle.grow(name, data_size or shape.data_size, metadata_size or shape.metadata_size)


@pool.command()
@click.argument("name", shell_complete=pool_names)
@click.option("--keep-files", is_flag=True, help="Leave data and metadata file.")
def remove(name: str, keep_files: bool) -> None:
    """Remove a pool, its loop devices and its store; refused while thin devices are active."""
    lifecycle.remove(name, keep_files=keep_files)


@pool.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects; sizes in bytes.")
def list_pools(as_json: bool) -> None:
    """List the pools."""
    known = PoolRecords()
    _print([_facts(known.find(name)) for name in known.names()], as_json)


@pool.command()
@click.argument("name", shell_complete=pool_names)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of one object; sizes in bytes.")
def status(name: str, as_json: bool) -> int:
    """Show a pool: what it uses, what the host has allocated. Exit 1 if it doesn't stand."""
    facts = _facts(PoolRecords().find(name))
    _print([facts], as_json)
    return DONE if facts["state"] == "stands" else FAILED


def _facts(record: PoolRecord) -> dict[str, object]:
    """Return what a row says, in bytes."""
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
        return {**facts, "state": f"does not stand: {error}"}
    return {**facts, "state": "stands", **measured}


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


_SIZES = ("size", "used", "host", "given back")


def _print(rows: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        click.echo("no pools (thinsim pool create makes one)")
        return
    table = Table(box=None)
    for column in ("name", "rig", "state", "size", "used", "host", "given back", "directory"):
        table.add_column(column, justify="right" if column in _SIZES else "left")
    for row in rows:
        table.add_row(
            *(str(row[key]) for key in ("name", "rig", "state")),
            *(_size(row.get(key)) for key in ("data_size", "used", "host", "given_back")),
            str(row["directory"]),
        )
    output_console().print(uncut(table))


def _size(value: object) -> str:
    return format_size(value) if isinstance(value, int) else "-"


def _base_image_size(data_size: int) -> str:
    """A tenth of the pool, as in containerd's example (10 GB of 100), at least 512 MiB."""
    mebibytes = max(data_size // 10 >> 20, 512)
    return f"{mebibytes >> 10}GB" if mebibytes % 1024 == 0 else f"{mebibytes}MB"

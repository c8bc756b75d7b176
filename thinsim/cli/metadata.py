"""``thinsim metadata``: look at a pool's metadata without the thin-provisioning-tools."""

import json
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.table import Table

from thinsim.dm.metadata_file import open_metadata
from thinsim.report.uncut import uncut
from thinsim.thin.metadata.check import Checker
from thinsim.thin.metadata.dump import devices, superblock_of, xml_lines
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.metadata.superblock import Superblock

_FILE = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_HELD = click.option("--snapshot", "held", is_flag=True, help="Of the metadata snapshot that is held.")


@click.group()
def metadata() -> None:
    """Check or show a thin pool's metadata: a file, or a device that no pool uses at the moment."""


@metadata.command()
@_FILE
@_JSON
def check(file: Path, as_json: bool) -> int:
    """Check every tree, block and reference count, as thin_check does; exits 1 if anything is wrong.

    A leak is a block that is counted but used by nothing: wasted, no danger. Nothing is repaired.
    """
    with open_metadata(file) as opened:
        checker = Checker(opened)
        problems = checker.check()
        needs_check = opened.superblock.needs_check
    if as_json:
        document = {
            "sound": not problems,
            "needs_check": needs_check,
            "nodes": checker.nodes,
            "problems": [problem._asdict() for problem in problems],
        }
        click.echo(json.dumps(document, indent=1))
    else:
        for problem in problems:
            click.echo(problem.text)
        flag = ", the needs_check flag is set" if needs_check else ""
        click.echo(f"{file}: {len(problems)} problems, {checker.nodes} btree nodes{flag}")
    return 1 if problems else 0


@metadata.command()
@_FILE
@_HELD
@click.option(
    "-o", "--output", type=click.File("w", lazy=True), default="-", help="Instead of standard output."
)
@_JSON
def dump(file: Path, held: bool, output: TextIO, as_json: bool) -> None:
    """Print devices and mappings in the XML form of thin_dump, which thin_restore reads."""
    with open_metadata(file) as opened:
        if as_json:
            output.write(json.dumps(_document(opened, superblock_of(opened, held=held)), indent=1) + "\n")
            return
        for line in xml_lines(opened, held=held):
            output.write(line + "\n")


@metadata.command()
@_FILE
@_JSON
def usage(file: Path, as_json: bool) -> None:
    """Show how full metadata and data device are, and what each thin device maps."""
    with open_metadata(file) as opened:
        superblock = superblock_of(opened)
        block = superblock.data_block_size
        document = {
            "transaction_id": superblock.transaction_id,
            "time": superblock.time,
            "needs_check": superblock.needs_check,
            "held_root": superblock.held_root or None,
            "data_block_sectors": block,
            "metadata_blocks": {
                "total": opened.space.nr_blocks,
                "allocated": superblock.metadata_space_map.nr_allocated,
                "used_with_reserve": opened.used_blocks,
            },
            "data_blocks": {
                "total": superblock.data_space_map.nr_blocks,
                "allocated": superblock.data_space_map.nr_allocated,
            },
            "devices": [
                {
                    "dev_id": device.thin_id,
                    **device.details._asdict(),
                    "mapped_sectors": device.details.mapped_blocks * block,
                }
                for device in devices(opened, superblock)
            ],
        }
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        _print_usage(document)


def _document(opened: PoolMetadata, superblock: Superblock) -> dict[str, object]:
    return {
        "time": superblock.time,
        "transaction": superblock.transaction_id,
        "flags": superblock.flags,
        "version": superblock.version,
        "data_block_size": superblock.data_block_size,
        "nr_data_blocks": superblock.data_space_map.nr_blocks,
        "devices": [
            {
                "dev_id": device.thin_id,
                "mapped_blocks": device.details.mapped_blocks,
                "transaction": device.details.transaction_id,
                "creation_time": device.details.creation_time,
                "snap_time": device.details.snapshotted_time,
                "mappings": [
                    {
                        "origin_begin": run.vblock,
                        "data_begin": run.data_block,
                        "length": run.length,
                        "time": run.time,
                    }
                    for run in device.runs
                ],
            }
            for device in devices(opened, superblock)
        ],
    }


def _print_usage(document: dict) -> None:  # type: ignore[type-arg]
    console = Console(highlight=False)
    metadata_blocks, data_blocks = document["metadata_blocks"], document["data_blocks"]
    console.print(
        f"metadata: {metadata_blocks['allocated']} of {metadata_blocks['total']} blocks of 4 KiB in use, "
        f"{metadata_blocks['used_with_reserve']} with the reserve"
    )
    console.print(
        f"data: {data_blocks['allocated']} of {data_blocks['total']} blocks of "
        f"{document['data_block_sectors'] // 2} KiB in use"
    )
    held = document["held_root"]
    console.print(
        f"transaction id {document['transaction_id']}, "
        + (f"metadata snapshot at block {held}" if held else "no metadata snapshot")
        + (", needs_check" if document["needs_check"] else "")
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("thin id", "mapped blocks", "mapped sectors", "transaction", "created", "snapshotted"):
        table.add_column(heading, justify="right")
    for device in document["devices"]:
        table.add_row(
            *(
                str(device[field])
                for field in (
                    "dev_id",
                    "mapped_blocks",
                    "mapped_sectors",
                    "transaction_id",
                    "creation_time",
                    "snapshotted_time",
                )
            )
        )
    console.print(uncut(table))

"""``thinsim metadata`` looks at a pool's metadata without the thin-provisioning-tools."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table

from thinsim.cli.statuses import DONE, FAILED
from thinsim.dm.metadata_device import open_metadata
from thinsim.errors import DeviceMapperError, InvalidValueError, KernelError
from thinsim.report.uncut import uncut
from thinsim.thin.metadata.check import Checker
from thinsim.thin.metadata.details import DETAILS_SIZE, DeviceDetails
from thinsim.thin.metadata.dump import DumpedDevice, devices, superblock_of, xml_lines
from thinsim.thin.metadata.errors import MetadataDamagedError, reason
from thinsim.thin.metadata.readable_entries import readable_entries
from thinsim.thin.metadata.superblock import Superblock
from thinsim.thin.metadata.transaction import reserve_of
from thinsim.thin.metadata.view import MetadataView

_FILE = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=False))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_HELD = click.option("--snapshot", "held", is_flag=True, help="Of the metadata snapshot that is held.")
_NAMED = 10
"""Damages that one line of standard error names; check names all."""


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
    return FAILED if problems else DONE


@metadata.command()
@_FILE
@_HELD
@click.option(
    "-o", "--output", type=click.File("w", lazy=True), default="-", help="Instead of standard output."
)
@_JSON
def dump(file: Path, held: bool, output: TextIO, as_json: bool) -> None:
    """Print devices and mappings in the XML form of thin_dump, which thin_restore reads.

    Space maps are not looked at. Where a device's mappings are damaged, those before the damage and all
    other devices are printed, the last line is left out, and the exit status is 1. --snapshot reads a
    device that a pool uses, too.
    """
    _keep_apart(file, output)
    damage: list[str] = []
    with open_metadata(file, in_use=held) as opened, _explained(file):
        if as_json:
            document = _document(opened, superblock_of(opened, held=held), damage)
            lines: Iterable[str] = [json.dumps(document, indent=1)]
        else:
            lines = xml_lines(opened, held=held, damage=damage.append)
        _write(lines, output)
    if damage:
        raise InvalidValueError(f"{file}: not all of it can be read: {_listed(damage)}")


@metadata.command()
@_FILE
@_JSON
def usage(file: Path, as_json: bool) -> int:
    """Show how full metadata and data device are, and what each thin device maps.

    Mappings and reference counts are not looked at: these are the numbers that superblock and devices
    say. Exits 1 if not all devices can be read; what can be is shown.
    """
    damage: list[str] = []
    with open_metadata(file) as opened:
        document = _usage(opened, damage)
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        _print_usage(document)
    if damage:
        raise InvalidValueError(f"{file}: not all devices can be read: details tree: {_listed(damage)}")
    return DONE


def _keep_apart(file: Path, output: Any) -> None:
    """Refuse to write over what is looked at."""
    name = str(getattr(output, "name", "-"))
    if name != "-" and Path(name).exists() and Path(name).samefile(file):
        raise InvalidValueError(f"{name} is what is to be dumped: write to another file")


def _write(lines: Iterable[str], output: Any) -> None:
    try:
        for line in lines:
            output.write(line + "\n")
        output.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # The output's: what the metadata fails to give is no OSError any more.
        name = getattr(output, "name", "-")
        raise OSError(error.errno, error.strerror, "standard output" if name == "-" else name) from error


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Name the file in errors, without the words that the C library has for an errno."""
    try:
        yield
    except DeviceMapperError as error:
        raise InvalidValueError(f"{reason(error)} in {file}: dump it without --snapshot") from error
    except MetadataDamagedError as error:
        raise InvalidValueError(f"{file}: {reason(error)}; thin_repair makes the best of it") from error
    except KernelError as error:
        raise InvalidValueError(f"{file}: {reason(error)}") from error


def _listed(damage: list[str]) -> str:
    more = f"; and {len(damage) - _NAMED} more" if len(damage) > _NAMED else ""
    return "; ".join(damage[:_NAMED]) + more


def _usage(opened: MetadataView, damage: list[str]) -> dict[str, Any]:
    superblock = opened.superblock
    block, space = superblock.data_block_size, superblock.metadata_space_map
    free = space.nr_blocks - space.nr_allocated - reserve_of(space.nr_blocks)
    entries = readable_entries(opened.blocks, superblock.details_root, DETAILS_SIZE, damage.append)
    found = {thin_id: DeviceDetails(*details) for thin_id, details in entries}
    return {
        "transaction_id": superblock.transaction_id,
        "time": superblock.time,
        "needs_check": superblock.needs_check,
        "held_root": superblock.held_root or None,
        "data_block_sectors": block,
        "metadata_blocks": {
            "total": space.nr_blocks,
            "allocated": space.nr_allocated,
            "used_with_reserve": space.nr_blocks - max(0, free),
        },
        "data_blocks": {
            "total": superblock.data_space_map.nr_blocks,
            "allocated": superblock.data_space_map.nr_allocated,
        },
        "devices": [
            {"dev_id": thin_id, **details._asdict(), "mapped_sectors": details.mapped_blocks * block}
            for thin_id, details in sorted(found.items())
        ],
        "damage": damage,
    }


def _document(opened: MetadataView, superblock: Superblock, damage: list[str]) -> dict[str, object]:
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
                "mappings": _mappings(device, damage),
            }
            for device in devices(opened, superblock)
        ],
        "damage": damage,
    }


def _mappings(device: DumpedDevice, damage: list[str]) -> list[dict[str, int]]:
    found = []
    try:
        for run in device.runs:
            where = {"origin_begin": run.vblock, "data_begin": run.data_block}
            found.append({**where, "length": run.length, "time": run.time})
    except MetadataDamagedError as error:
        damage.append(reason(error))
    return found


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

"""``thinsim metadata`` checks, shows and packs a pool's metadata without the thin-provisioning-tools."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click
from rich.table import Table

from fuse_backing.statuses import exit_status_help
from thinsim.cli.output_console import print_table, print_words
from thinsim.cli.output_path import OutputPath, keep_inputs
from thinsim.cli.statuses import DONE, FAILED
from thinsim.dm import metadata_pack as packs
from thinsim.dm.metadata_device import open_metadata
from thinsim.errors import DeviceMapperError, InvalidValueError, KernelError
from thinsim.thin.metadata.check import Checker
from thinsim.thin.metadata.details import DETAILS_SIZE, DeviceDetails
from thinsim.thin.metadata.dump import DumpedDevice, devices, superblock_of, xml_lines
from thinsim.thin.metadata.errors import MetadataDamagedError, reason
from thinsim.thin.metadata.readable_entries import readable_entries
from thinsim.thin.metadata.superblock import Superblock
from thinsim.thin.metadata.transaction import reserve_of
from thinsim.thin.metadata.view import MetadataView
from thinsim.units import format_size

_FILE = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=False))
_PACK = click.argument(
    "pack_file", metavar="PACK", type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=False)
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_HELD = click.option(
    "--snapshot",
    "held",
    is_flag=True,
    help="Read the metadata snapshot that the pool holds. The pool may use the device meanwhile.",
)
_NAMED = 10
"""One line of standard error names at most this many damages. `check` names all."""


@click.group()
def metadata() -> None:
    """Check, show or pack the metadata of a thin pool.

    FILE is a regular file, or a block device that no pool and no mount uses. The commands write nothing to
    it. Each reads only the parts that it shows, so that damaged metadata can be inspected; all but pack
    --damaged need a superblock with a correct checksum. thin_repair repairs metadata.
    """


@metadata.command(epilog=exit_status_help({FAILED: "anything is wrong"}))
@_FILE
@_JSON
def check(file: Path, as_json: bool) -> int:
    """Check every tree, checksum and reference count.

    The command checks everything that thin_check does. It also counts the references to data blocks, and
    reports what the kernel would refuse to open: another magic number, unknown features, a file shorter
    than its superblock states. A leaked block is counted but not used: it wastes space and does no harm.
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


@metadata.command(epilog=exit_status_help({FAILED: "a part cannot be read"}))
@_FILE
@_HELD
@click.option(
    "-o",
    "--output",
    type=click.File("w", lazy=True),
    default="-",
    help="Write to this file instead of stdout.",
)
@_JSON
def dump(file: Path, held: bool, output: TextIO, as_json: bool) -> None:
    """Print devices and mappings as XML, as thin_dump does.

    thin_restore reads this XML. The command does not read the space maps.

    If the mappings of a device are damaged, the command prints the mappings before the damage and all other
    devices. It names each damage on standard error, or with --json in the key damage. It omits the last
    line of the XML, so that thin_restore refuses the dump.
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


@metadata.command(epilog=exit_status_help({FAILED: "FILE cannot be packed, or the pack exists"}))
@_FILE
@click.option(
    "-o", "--output", type=OutputPath(), required=True, metavar="PACK", help="Write the pack to this file."
)
@click.option(
    "--damaged",
    is_flag=True,
    help="Keep the used blocks whose checksum is wrong. If there is one, only thinsim can unpack the pack.",
)
@_JSON
def pack(file: Path, output: Path, damaged: bool, as_json: bool) -> None:
    """Write a small file of the metadata, for a bug report.

    The pack has every metadata block with a correct checksum, compressed. It has no data of the thin
    devices, and no names: metadata contains thin ids, block numbers, times and counts. A damaged block may
    contain anything, so the pack has such blocks only with --damaged.

    Packs have the format of thin_metadata_pack 1.x: thin_metadata_unpack reads them. The command refuses to
    replace a file.
    """
    keep_inputs(file)
    _print_packed(packs.pack(file, output, with_damage=damaged), output, as_json=as_json)


@metadata.command(epilog=exit_status_help({FAILED: "PACK is damaged, or the output exists"}))
@_PACK
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    required=True,
    metavar="FILE",
    help="Write the metadata to this file.",
)
@_JSON
def unpack(pack_file: Path, output: Path, as_json: bool) -> None:
    """Write the metadata of a pack to a sparse file.

    thinsim metadata pack and thin_metadata_pack write packs. The blocks that a pack lacks become zeros. The
    command refuses to replace a file.
    """
    keep_inputs(pack_file)
    _print_packed(packs.unpack(pack_file, output), output, as_json=as_json)


@metadata.command(epilog=exit_status_help({FAILED: "a device cannot be read"}))
@_FILE
@_JSON
def usage(file: Path, as_json: bool) -> int:
    """Show the used blocks of the pool and of each thin device.

    The numbers are those that the superblock and the details of the devices store; the command does not
    read mappings and reference counts. It shows every device that it can read.
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


def _print_packed(result: packs.PackResult, output: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result._asdict(), indent=1))
        return
    damaged = f", {result.damaged_blocks} of them damaged" if result.damaged_blocks else ""
    print_words(
        f"{output}: {result.packed_blocks} of {result.device_blocks} blocks of 4 KiB{damaged}; "
        f"the pack has {format_size(result.pack_bytes)}"
    )


def _keep_apart(file: Path, output: Any) -> None:
    """Refuse to overwrite the metadata that is being dumped."""
    name = str(getattr(output, "name", "-"))
    if name != "-" and Path(name).exists() and Path(name).samefile(file):
        raise InvalidValueError(f"-o {name} is the file to dump: write to another file")


def _write(lines: Iterable[str], output: Any) -> None:
    try:
        for line in lines:
            output.write(line + "\n")
        output.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # This is an error of the output. Errors of the metadata are no OSErrors here.
        name = getattr(output, "name", "-")
        if name != "-":
            # click closes the file at the end: its last bytes would fail again, without the name of the file.
            with suppress(OSError):
                output.close()
        raise OSError(error.errno, error.strerror, "standard output" if name == "-" else name) from error


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Name the file in errors, without the C library's text for the errno."""
    try:
        yield
    except DeviceMapperError as error:
        raise InvalidValueError(f"{reason(error)} in {file}: dump it without --snapshot") from error
    except MetadataDamagedError as error:
        raise InvalidValueError(f"{file}: {reason(error)}; to repair it, use thin_repair") from error
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
    metadata_blocks, data_blocks = document["metadata_blocks"], document["data_blocks"]
    print_words(
        f"metadata: {metadata_blocks['allocated']} of {metadata_blocks['total']} blocks of 4 KiB in use, "
        f"{metadata_blocks['used_with_reserve']} with the reserve"
    )
    print_words(
        f"data: {data_blocks['allocated']} of {data_blocks['total']} blocks of "
        f"{document['data_block_sectors'] // 2} KiB in use"
    )
    held = document["held_root"]
    print_words(
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
    print_table(table)

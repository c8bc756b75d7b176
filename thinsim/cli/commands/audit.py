"""``thinsim audit`` shows who owns what in the pools of this machine, and what is lost."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio
from rich.box import SIMPLE_HEAD
from rich.table import Table

from fuse_backing.statuses import exit_status_help
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.name_completion import pool_names
from thinsim.cli.output_console import print_table, print_words, warnings_console
from thinsim.cli.output_path import OutputPath
from thinsim.cli.statuses import BROKEN, DONE, LEAKED
from thinsim.errors import ConflictError
from thinsim.units import format_size

if TYPE_CHECKING:
    from thinsim.node.audit.audited import AuditedPool
    from thinsim.node.audit.containerd_view import ContainerdPlaces
    from thinsim.node.stack.report import HeightsReport

_DEFAULT_ROOT = Path("/var/lib/containerd")
_LONGEST = 60
_HEADINGS = ("thin id", "device", "snapshot", "kind", "needed by", "exclusive", "shared", "on the host")
_NUMBERS = ("thin id", "exclusive", "shared", "on the host")


@click.command(
    epilog=exit_status_help(
        {
            LEAKED: "the host or a pool holds space that nobody needs",
            BROKEN: "a pool and containerd's databases disagree, or a pool cannot be used",
        }
    )
)
@click.argument("name", metavar="[POOL]", required=False, shell_complete=pool_names)
@click.option(
    "--containerd",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help=f"Read the databases below this root directory of containerd. Default: {_DEFAULT_ROOT}, if it has "
    "records of the pool.",
)
@click.option(
    "--devmapper-root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Read the snapshotter's databases here: the root_path of containerd's devmapper plugin.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Take both directories and discard_blocks from this configuration of containerd. Default: "
    "/etc/containerd/config.toml, if it names the pool.",
)
@click.option(
    "--offline",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="METADATA",
    help="Audit this metadata, a file or a device; no pool may use it. POOL is then its name in containerd.",
)
@click.option(
    "--no-former-owners",
    "without_former",
    is_flag=True,
    help="Leave out the thin devices that mapped the freed blocks last. The search for them reads the free "
    "blocks of the metadata device, 4 GiB at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; sizes in bytes.")
@click.option(
    "--html", "html_path", type=OutputPath(), metavar="FILE", help="Write one self-contained page as well."
)
def audit(
    name: str | None,
    root: Path | None,
    devmapper_root: Path | None,
    config: Path | None,
    offline: Path | None,
    without_former: bool,
    as_json: bool,
    html_path: Path | None,
) -> int:
    """Show who owns what in a pool, and what is lost.

    For each thin device of a pool the table shows the snapshot of containerd that has it, what needs the
    snapshot, and its space in the pool and on the host. Below, the command lists what is wrong, and the space
    that thinsim reclaim would free. A last table shows which thin devices mapped that space last, as far as
    metadata that is not yet written over still shows it.

    POOL is any thin pool of this machine, of the kernel or emulated. Without POOL the command shows all. It
    changes no pool and no database, and containerd can run meanwhile: it copies the databases without their
    locks, and reads the mappings from a metadata snapshot that it releases again.
    """
    from thinsim.node.audit.containerd_view import ContainerdPlaces  # noqa: PLC0415

    places = ContainerdPlaces(root, devmapper_root, config)
    found = run_interruptible(lambda: _audited(name, places, offline, not without_former), quiet=True)
    if as_json:
        click.echo(json.dumps([each.to_json() for each in found], indent=1))
    else:
        for each in found:
            _print(each)
    if html_path is not None:
        from thinsim.report.html.audit_page import render_audit  # noqa: PLC0415

        html_path.write_text(render_audit(found))
    return _status(found)


async def _audited(
    name: str | None, places: "ContainerdPlaces", offline: Path | None, former: bool
) -> "Sequence[AuditedPool]":
    # These modules are slow to import, and other command lines need not wait for them.
    from thinsim.node.active_pools import active_pools, find_active_pool  # noqa: PLC0415
    from thinsim.node.audit.containerd_view import find_view  # noqa: PLC0415
    from thinsim.node.audit.pool_audit import audit as audit_pool  # noqa: PLC0415
    from thinsim.node.audit.pool_audit import audit_offline  # noqa: PLC0415

    if offline is not None:
        view = await trio.to_thread.run_sync(find_view, places, name)
        look = partial(audit_offline, offline, view, name or str(offline), former=former)
        return [await trio.to_thread.run_sync(look)]
    if name is not None:
        pools = [await find_active_pool(name)]
    else:
        search = await active_pools()
        pools = list(search.pools)
        for each in search.silent:
            warnings_console().print(f"thinsim: {each}")
        if not pools:
            raise ConflictError(
                "this machine has no active thin pool; for a metadata file: --offline METADATA"
            )
    return [
        await audit_pool(pool, await trio.to_thread.run_sync(find_view, places, pool.name), former=former)
        for pool in pools
    ]


def _status(found: "Sequence[AuditedPool]") -> int:
    from thinsim.node.audit.audited import FindingKind  # noqa: PLC0415

    if any(each.has(FindingKind.DISAGREEMENT) for each in found):
        return BROKEN
    return LEAKED if any(each.has(FindingKind.LEAK) for each in found) else DONE


def _print(pool: "AuditedPool") -> None:
    print_words(_headline(pool), "bold")
    if pool.devices:
        print_table(_table(pool))
    if pool.stack is not None:
        _print_stack(pool.stack)
    for finding in pool.findings:
        fix = f" (fix: {finding.fix})" if finding.fix else ""
        print_words(f"{finding.kind.value}: {finding.text}{fix}")
    if pool.former_owners:
        _print_former(pool)
    if not pool.findings:
        print_words("sound: no space is lost, and nothing disagrees")
    if pool.unmapped:
        print_words(f"the space on the host is not known: {pool.unmapped}")
    if not pool.containerd:
        print_words("no containerd has records of this pool; --containerd DIR names its root directory")


def _print_stack(stack: "HeightsReport") -> None:
    from thinsim.node.stack.table import heights_table, summary  # noqa: PLC0415

    print_words("below the data device:")
    print_table(heights_table(stack.heights))
    for line in summary(stack):
        print_words(line)


def _print_former(pool: "AuditedPool") -> None:
    known = pool.reclaimable is not None
    blocks = "the freed blocks that the host holds" if known else "free blocks"
    print_words(f"last mapped by, as old metadata still shows for {blocks}:")
    size = "on the host" if known else "size"
    numbers = ("thin id", "blocks", size)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("thin id", "device", "snapshot", "needed by", "blocks", size):
        table.add_column(heading, justify="right" if heading in numbers else "left")
    for each in pool.former_owners:
        table.add_row(
            "unknown" if each.thin_id is None else str(each.thin_id),
            " or ".join(each.devices) + (" (still in the pool)" if each.in_pool else ""),
            _short(", ".join(each.snapshots)),
            _short(", ".join(each.holders)),
            str(each.blocks),
            format_size(each.bytes),
        )
    print_table(table)


def _headline(pool: "AuditedPool") -> str:
    held = "" if pool.held is None else f"; the host holds {format_size(pool.held)} for {pool.file}"
    return (
        f"pool {pool.name} ({pool.device_mapper}): {format_size(pool.used)} used, in data blocks of "
        f"{format_size(pool.block_bytes)}{held}"
    )


def _table(pool: "AuditedPool") -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left")
    known = pool.reclaimable is not None
    for each in pool.devices:
        table.add_row(
            str(each.thin_id),
            f"{each.device}{'' if each.in_pool else ' (not in the pool)'}",
            _short(", ".join(each.names) or each.snapshot),
            each.kind,
            _short(", ".join(each.holders)) or each.need,
            format_size(each.exclusive),
            format_size(each.shared),
            format_size(each.held) if known else "-",
        )
    return table


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

"""Commands of ``fuse-backing`` that ask a running server, or set the faults that it plays."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click
import trio

from fuse_backing import mounts, runtime
from fuse_backing.errors import FaultPlanError, MountpointError
from fuse_backing.faults import FaultPlan
from fuse_backing.statuses import DONE, INTERRUPTED
from fuse_backing.store_client import StoreClient

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("mountpoint", type=_PATH, required=False)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the server.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def stats(mountpoint: Path | None, control: Path | None, as_json: bool) -> None:
    """Show what was punched and what the host got back, in all and by file."""
    from fuse_backing import display  # noqa: PLC0415

    client = StoreClient(_socket(mountpoint, control))
    with _quiet_end():
        trio.run(display.show_stats, client, as_json)


@click.command()
@click.argument("mountpoint", type=_PATH, required=False)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the server.")
@click.option("--follow", is_flag=True, help="Go on with events as they come, until interrupted.")
@click.option(
    "--since", type=click.IntRange(min=0), default=0, metavar="N", help="Only events after number N."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def events(mountpoint: Path | None, control: Path | None, follow: bool, since: int, as_json: bool) -> None:
    """List the hole punches, zero ranges and truncations."""
    from fuse_backing import display  # noqa: PLC0415

    client = StoreClient(_socket(mountpoint, control))
    with _quiet_end():
        trio.run(display.show_events, client, since, follow, as_json)


@click.command()
@click.argument("mountpoint", type=_PATH, required=False)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the server.")
@click.option("--file", metavar="NAME", help="By offset in this file instead of by time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def histogram(mountpoint: Path | None, control: Path | None, file: str | None, as_json: bool) -> None:
    """Show when, or where in a file, bytes were given back to the host."""
    from fuse_backing import display  # noqa: PLC0415

    client = StoreClient(_socket(mountpoint, control))
    with _quiet_end():
        trio.run(display.show_histogram, client, file, as_json)


@click.command("map")
@click.argument("file", type=_PATH)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the store that has FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def map_(file: Path, control: Path | None, as_json: bool) -> None:
    """Show what of FILE the host has allocated: a file on a store's mount, or any other."""
    from fuse_backing import display, mapping  # noqa: PLC0415

    with _quiet_end():
        size, extents = trio.run(mapping.extents_of, file, control)
        display.show_map(size, extents, as_json)


@click.command()
@click.argument("mountpoint", type=_PATH, required=False)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the server.")
def metrics(mountpoint: Path | None, control: Path | None) -> None:
    """Print the totals as Prometheus text."""
    with _quiet_end():
        click.echo(trio.run(StoreClient(_socket(mountpoint, control)).metrics), nl=False)


@click.group()
def faults() -> None:
    """Play planned faults on a running mount: errors, delays, lies, a full disk, a crash."""


@faults.command("set")
@click.argument("mountpoint", type=_PATH)
@click.argument("plan", type=click.File("rb"))
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the server.")
def set_faults(mountpoint: Path, plan: IO[bytes], control: Path | None) -> None:
    """Put the faults of the TOML file PLAN (- for standard input) in force instead of any others."""
    try:
        parsed = FaultPlan.from_toml(plan.read().decode())
    except (FaultPlanError, UnicodeDecodeError) as error:
        raise FaultPlanError(f"{plan.name}: {error}") from None
    trio.run(StoreClient(_socket(mountpoint, control)).set_faults, parsed)
    click.echo(f"{mountpoint}: faults in force: {len(parsed.faults)}")


@faults.command("show")
@click.argument("mountpoint", type=_PATH, required=False)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the server.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def show_faults(mountpoint: Path | None, control: Path | None, as_json: bool) -> None:
    """Show the faults in force and how often each has struck."""
    from fuse_backing import display  # noqa: PLC0415

    with _quiet_end():
        trio.run(display.show_faults, StoreClient(_socket(mountpoint, control)), as_json)


@faults.command("clear")
@click.argument("mountpoint", type=_PATH, required=False)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the server.")
def clear_faults(mountpoint: Path | None, control: Path | None) -> None:
    """Let everything through again."""
    trio.run(StoreClient(_socket(mountpoint, control)).set_faults, FaultPlan())
    click.echo("no faults are in force")


def _socket(mountpoint: Path | None, control: Path | None) -> Path:
    if control is not None:
        return control
    if mountpoint is not None:
        return _socket_of(mountpoint)
    found = runtime.sockets()
    if len(found) == 1:
        return found[0]
    raise click.UsageError(
        "no server is running; name a MOUNTPOINT or --control"
        if not found
        else f"{len(found)} servers are running; name a MOUNTPOINT or --control"
    )


@contextlib.contextmanager
def _quiet_end() -> Iterator[None]:
    """End without a word on Ctrl-C, and when the reader of a pipe has gone."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # Python flushes standard output once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(DONE) from None


def _socket_of(mountpoint: Path) -> Path:
    """Return the usual socket of what is mounted there; MountpointError where no store is."""
    usual = runtime.control_socket(mountpoint)
    mount = mounts.find_mount(mountpoint)
    if usual.exists() or (mount is not None and mount.fstype == mounts.FSTYPE):
        return usual
    there = [str(mount.mountpoint) for mount in mounts.mounts() if mount.fstype == mounts.FSTYPE]
    others = f"; stores are mounted on {', '.join(there)}" if there else ""
    raise MountpointError(f"{mountpoint}: no fuse-backing store is mounted there{others}")


ASKING: tuple[click.Command, ...] = (stats, events, histogram, map_, metrics, faults)
"""Every command of this module."""

"""These commands of ``fuse-backing`` ask a running server or set the faults that it injects."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import click
import trio

from fuse_backing import mounts, runtime
from fuse_backing.errors import FaultPlanError
from fuse_backing.faults import FaultPlan
from fuse_backing.statuses import DONE, INTERRUPTED, exit_status_help
from fuse_backing.store_client import StoreClient

_PATH = click.Path(path_type=Path)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def control_option(command: _Command) -> _Command:
    """Add ``--control``, the parameter *control*."""
    return click.option(
        "--control",
        type=_PATH,
        metavar="SOCKET",
        help="Use this control socket of the server. Default: the usual one for MOUNTPOINT.",
    )(command)


_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


@click.command()
@click.argument("mountpoint", type=_PATH, required=False)
@control_option
@_JSON
def stats(mountpoint: Path | None, control: Path | None, as_json: bool) -> None:
    """Show the punched and the freed bytes, in total and by file.

    MOUNTPOINT is not needed while only one server runs.
    """
    from fuse_backing import display  # noqa: PLC0415

    client = StoreClient(_socket(mountpoint, control))
    with _quiet_end():
        trio.run(display.show_stats, client, as_json)


@click.command(epilog=exit_status_help({INTERRUPTED: "Ctrl-C interrupted it"}))
@click.argument("mountpoint", type=_PATH, required=False)
@control_option
@click.option("--follow", is_flag=True, help="Wait for new events until Ctrl-C.")
@click.option(
    "--since", type=click.IntRange(min=0), default=0, metavar="N", help="List only the events after number N."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per event.")
def events(mountpoint: Path | None, control: Path | None, follow: bool, since: int, as_json: bool) -> None:
    """List hole punches, zero ranges, truncations and faults.

    MOUNTPOINT is not needed while only one server runs.
    """
    from fuse_backing import display  # noqa: PLC0415

    client = StoreClient(_socket(mountpoint, control))
    with _quiet_end():
        trio.run(display.show_events, client, since, follow, as_json)


@click.command()
@click.argument("mountpoint", type=_PATH, required=False)
@control_option
@click.option("--file", metavar="NAME", help="Show the offsets in this file instead of the times.")
@_JSON
def histogram(mountpoint: Path | None, control: Path | None, file: str | None, as_json: bool) -> None:
    """Show the freed bytes by time, or by offset in a file.

    MOUNTPOINT is not needed while only one server runs.
    """
    from fuse_backing import display  # noqa: PLC0415

    client = StoreClient(_socket(mountpoint, control))
    with _quiet_end():
        trio.run(display.show_histogram, client, file, as_json)


@click.command("map")
@click.argument("file", type=_PATH)
@click.option(
    "--control",
    type=_PATH,
    metavar="SOCKET",
    help="Use this control socket of the server. Default: the usual one for the mount of FILE.",
)
@_JSON
def map_(file: Path, control: Path | None, as_json: bool) -> None:
    """Show the allocated ranges and the holes of FILE.

    FILE is a file on a store's mount, or any other file.
    """
    from fuse_backing import display, mapping  # noqa: PLC0415

    with _quiet_end():
        size, extents = trio.run(mapping.extents_of, file, control)
        display.show_map(size, extents, as_json)


@click.command()
@click.argument("mountpoint", type=_PATH, required=False)
@control_option
def metrics(mountpoint: Path | None, control: Path | None) -> None:
    """Print the totals as Prometheus text.

    MOUNTPOINT is not needed while only one server runs.
    """
    with _quiet_end():
        click.echo(trio.run(StoreClient(_socket(mountpoint, control)).metrics), nl=False)


@click.group()
def faults() -> None:
    """Inject planned faults into a running mount.

    Use faults on a store whose data you can lose. They are errors, delays, lies, a full disk and a crash.
    """


@faults.command("set")
@click.argument("mountpoint", type=_PATH)
@click.argument("plan", type=click.File("rb"))
@control_option
def set_faults(mountpoint: Path, plan: IO[bytes], control: Path | None) -> None:
    """Replace the faults by those of the file PLAN.

    PLAN is a TOML file; - is standard input.
    """
    try:
        parsed = FaultPlan.from_toml(plan.read().decode())
    except (FaultPlanError, UnicodeDecodeError) as error:
        raise FaultPlanError(f"{plan.name}: {error}") from None
    trio.run(StoreClient(_socket(mountpoint, control)).set_faults, parsed)
    click.echo(f"{mountpoint}: faults in force: {len(parsed.faults)}")


@faults.command("show")
@click.argument("mountpoint", type=_PATH, required=False)
@control_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects instead of text.")
def show_faults(mountpoint: Path | None, control: Path | None, as_json: bool) -> None:
    """Show the faults, and how many requests each has struck."""
    from fuse_backing import display  # noqa: PLC0415

    with _quiet_end():
        trio.run(display.show_faults, StoreClient(_socket(mountpoint, control)), as_json)


@faults.command("clear")
@click.argument("mountpoint", type=_PATH, required=False)
@control_option
def clear_faults(mountpoint: Path | None, control: Path | None) -> None:
    """Remove all faults."""
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
        "No fuse-backing server is running. To start one, run: fuse-backing mount DIRECTORY MOUNTPOINT"
        if not found
        else f"{len(found)} fuse-backing servers are running: name a MOUNTPOINT or --control SOCKET"
    )


@contextlib.contextmanager
def _quiet_end() -> Iterator[None]:
    """End without a message on Ctrl-C, and when the reader of a pipe has closed it."""
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
    """Return the usual socket of the store on *mountpoint*. MountpointError if there is none."""
    usual = runtime.control_socket(mountpoint)
    mount = mounts.find_mount(mountpoint)
    if usual.exists() or (mount is not None and mount.fstype == mounts.FSTYPE):
        return usual
    raise mounts.no_store_on(mountpoint)


LOOKING: tuple[click.Command, ...] = (events, stats, map_, histogram, metrics)
"""These commands show the records of a server."""

TESTING: tuple[click.Command, ...] = (faults,)
"""These commands change the behaviour of a server for a test."""

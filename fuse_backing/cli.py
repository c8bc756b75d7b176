"""``fuse-backing`` mounts and unmounts, shows stats, events, histogram, map and metrics, and sets faults."""

import atexit
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import click
import trio

from fuse_backing import mounts, runtime
from fuse_backing.errors import FaultPlanError, FuseBackingError, MountpointError
from fuse_backing.faults import FaultPlan
from fuse_backing.statuses import DONE, INTERRUPTED
from fuse_backing.store_client import ServerInfo, StoreClient

_PATH = click.Path(path_type=Path)


class _Group(click.Group):
    """Shows failures that the package explains as one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BaseExceptionGroup as group:
            failure = _only_failure(group)
            if not isinstance(failure, FuseBackingError):
                raise
            raise click.ClickException(str(failure)) from group
        except FuseBackingError as error:
            raise click.ClickException(str(error)) from error


def _only_failure(error: BaseException) -> BaseException:
    """Return the one exception that nested groups of one hold; a group of several stays."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="thinsim")
def cli() -> None:
    """Serve sparse files over FUSE and record what each hole punch gives back to the host."""


@cli.command()
@click.argument("directory", type=_PATH)
@click.argument("mountpoint", type=_PATH)
@click.option("--foreground", is_flag=True, help="Serve in this process until SIGTERM or SIGINT.")
@click.option(
    "--control", type=_PATH, metavar="SOCKET", help="Control socket [default: made from MOUNTPOINT]."
)
@click.option(
    "--passthrough",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Let the kernel serve data itself: where it can, or else fail (on), or not at all (off).",
)
@click.option(
    "--events",
    "event_file",
    type=_PATH,
    metavar="FILE",
    help="Append every event to FILE, one JSON object per line.",
)
@click.option(
    "--allow-estimate",
    is_flag=True,
    help="Serve also where freed bytes can't be measured; they are then estimated from what the files map.",
)
@click.option(
    "--ready-fd", type=click.IntRange(min=0), metavar="N", help="Write a line of JSON to N when ready."
)
@click.option(
    "--log", type=_PATH, hidden=True, help="Where standard error goes; removed at the end if empty."
)
def mount(
    directory: Path,
    mountpoint: Path,
    foreground: bool,
    control: Path | None,
    passthrough: str,
    event_file: Path | None,
    allow_estimate: bool,
    ready_fd: int | None,
    log: Path | None,
) -> None:
    """Serve the sparse files of DIRECTORY on MOUNTPOINT."""
    # What the user named is relative to where he is now; the server may be somewhere else later.
    directory, mountpoint = directory.absolute(), mountpoint.absolute()
    if control is None:
        runtime.make_runtime_directory()
        control = runtime.control_socket(mountpoint)
    control = control.absolute()
    event_file = None if event_file is None else event_file.absolute()
    if not foreground:
        options = ["--passthrough", passthrough]
        options += [] if event_file is None else ["--events", str(event_file)]
        options += ["--allow-estimate"] if allow_estimate else []
        _mount_in_background(directory, mountpoint, control, options, ready_fd)
        return
    # pyfuse3 and the extension are needed by the server alone.
    from fuse_backing import server, unmounting  # noqa: PLC0415
    from fuse_backing.shortcut import Passthrough  # noqa: PLC0415

    faulthandler.register(signal.SIGUSR1, all_threads=True)
    logging.basicConfig(level=logging.WARNING, format="fuse-backing: %(levelname)s: %(message)s")
    chosen = control

    def ready(info: ServerInfo) -> None:
        if info.host_remark:
            click.echo(f"{mountpoint}: {info.host_remark}")
        if ready_fd is not None:
            server.announce(ready_fd, chosen)
        if log is not None:
            atexit.register(unmounting.remove_if_empty, log)  # at exit: the last words may come late

    trio.run(
        partial(
            server.serve,
            directory,
            mountpoint,
            chosen,
            ready,
            passthrough=Passthrough(passthrough),
            events=event_file,
            allow_estimate=allow_estimate,
        )
    )


def _mount_in_background(
    directory: Path, mountpoint: Path, control: Path, options: list[str], ready_fd: int | None
) -> None:
    from fuse_backing import background  # noqa: PLC0415

    answer = background.start(directory, mountpoint, control, options)
    if ready_fd is not None:
        import json  # noqa: PLC0415

        with os.fdopen(ready_fd, "w") as pipe:
            pipe.write(json.dumps(answer) + "\n")
    click.echo(f"{mountpoint}: served by process {answer['pid']}, control socket {answer['control']}")
    info = trio.run(StoreClient(control).ping)
    if info.host_remark:
        click.echo(f"{mountpoint}: {info.host_remark}")


@cli.command()
@click.argument("mountpoint", type=_PATH)
@click.option(
    "--control", type=_PATH, metavar="SOCKET", help="Control socket [default: made from MOUNTPOINT]."
)
def unmount(mountpoint: Path, control: Path | None) -> None:
    """Unmount MOUNTPOINT and end its server; clear away a mount whose server has died."""
    from fuse_backing import unmounting  # noqa: PLC0415

    click.echo(trio.run(unmounting.unmount_store, mountpoint, control))


@cli.command()
@click.argument("mountpoint", type=_PATH, required=False)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the server.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def stats(mountpoint: Path | None, control: Path | None, as_json: bool) -> None:
    """Show what was punched and what the host got back, in all and by file."""
    from fuse_backing import display  # noqa: PLC0415

    client = StoreClient(_socket(mountpoint, control))
    with _quiet_end():
        trio.run(display.show_stats, client, as_json)


@cli.command()
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


@cli.command()
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


@cli.command("map")
@click.argument("file", type=_PATH)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the store that has FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def map_(file: Path, control: Path | None, as_json: bool) -> None:
    """Show what of FILE the host has allocated: a file on a store's mount, or any other."""
    from fuse_backing import display, mapping  # noqa: PLC0415

    with _quiet_end():
        size, extents = trio.run(mapping.extents_of, file, control)
        display.show_map(size, extents, as_json)


@cli.command()
@click.argument("mountpoint", type=_PATH, required=False)
@click.option("--control", type=_PATH, metavar="SOCKET", help="Control socket of the server.")
def metrics(mountpoint: Path | None, control: Path | None) -> None:
    """Print the totals as Prometheus text."""
    with _quiet_end():
        click.echo(trio.run(StoreClient(_socket(mountpoint, control)).metrics), nl=False)


@cli.group()
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


def main() -> None:
    """Run the command line."""
    cli()


def _socket_of(mountpoint: Path) -> Path:
    """Return the usual socket of what is mounted there; MountpointError where no store is."""
    usual = runtime.control_socket(mountpoint)
    mount = mounts.find_mount(mountpoint)
    if usual.exists() or (mount is not None and mount.fstype == mounts.FSTYPE):
        return usual
    there = [str(mount.mountpoint) for mount in mounts.mounts() if mount.fstype == mounts.FSTYPE]
    others = f"; stores are mounted on {', '.join(there)}" if there else ""
    raise MountpointError(f"{mountpoint}: no fuse-backing store is mounted there{others}")

"""The command ``fuse-backing``: mount, stats, events, unmount.

Exit status: 0 done, 1 failed (one line on standard error says why), 2 wrong usage.
"""

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

import click
import trio

from fuse_backing import runtime
from fuse_backing.errors import FuseBackingError
from fuse_backing.store import StoreClient

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


@click.group(cls=_Group)
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
    if not foreground:
        _mount_in_background(directory, mountpoint, control, passthrough, ready_fd)
        return
    # pyfuse3 and the extension are needed by the server alone.
    from fuse_backing import server, unmounting  # noqa: PLC0415
    from fuse_backing.shortcut import Passthrough  # noqa: PLC0415

    faulthandler.register(signal.SIGUSR1, all_threads=True)
    logging.basicConfig(level=logging.WARNING, format="fuse-backing: %(levelname)s: %(message)s")
    chosen = control

    def ready() -> None:
        if ready_fd is not None:
            server.announce(ready_fd, chosen)
        if log is not None:
            atexit.register(unmounting.remove_if_empty, log)  # at exit: the last words may come late

    trio.run(
        partial(server.serve, directory, mountpoint, chosen, ready, passthrough=Passthrough(passthrough))
    )


def _mount_in_background(
    directory: Path, mountpoint: Path, control: Path, passthrough: str, ready_fd: int | None
) -> None:
    from fuse_backing import background  # noqa: PLC0415

    answer = background.start(directory, mountpoint, control, passthrough)
    if ready_fd is not None:
        import json  # noqa: PLC0415

        with os.fdopen(ready_fd, "w") as pipe:
            pipe.write(json.dumps(answer) + "\n")
    click.echo(f"{mountpoint}: served by process {answer['pid']}, control socket {answer['control']}")


@cli.command()
@click.argument("mountpoint", type=_PATH)
@click.option(
    "--control", type=_PATH, metavar="SOCKET", help="Control socket [default: made from MOUNTPOINT]."
)
def unmount(mountpoint: Path, control: Path | None) -> None:
    """Unmount MOUNTPOINT and end its server; clear away a mount whose server has died."""
    from fuse_backing import unmounting  # noqa: PLC0415

    click.echo(trio.run(unmounting.unmount, mountpoint, control))


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
    """List the hole punches and zero ranges."""
    from fuse_backing import display  # noqa: PLC0415

    client = StoreClient(_socket(mountpoint, control))
    with _quiet_end():
        trio.run(display.show_events, client, since, follow, as_json)


def _socket(mountpoint: Path | None, control: Path | None) -> Path:
    if control is not None:
        return control
    if mountpoint is not None:
        return runtime.control_socket(mountpoint)
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
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Python flushes standard output once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def main() -> None:
    """Run the command line."""
    cli()

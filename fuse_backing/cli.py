"""``fuse-backing`` has its commands here: mount, unmount, and those that ask a running server."""

import atexit
import faulthandler
import logging
import os
import signal
from functools import partial
from pathlib import Path

import click
import trio

from fuse_backing import runtime
from fuse_backing.asking_commands import ASKING
from fuse_backing.errors import FuseBackingError
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


for _command in ASKING:
    cli.add_command(_command)


def main() -> None:
    """Run the command line."""
    cli()

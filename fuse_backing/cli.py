"""``fuse-backing`` has the commands mount and unmount, and those that ask a running server."""

import atexit
import faulthandler
import logging
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from fuse_backing import runtime
from fuse_backing.asking_commands import LOOKING, TESTING
from fuse_backing.command_options import PATH, control_option
from fuse_backing.errors import FuseBackingError
from fuse_backing.fuse_uring import FuseUring
from fuse_backing.statuses import DONE, FAILED, INTERRUPTED, WRONG_WORDS, exit_status_help
from fuse_backing.store_client import ServerInfo, StoreClient


class _Group(click.Group):
    """A `_Group` shows the package's own errors as one line, without a traceback.

    Its help has the commands in sections, in the order in which they were added.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._sections: dict[str, list[str]] = {}

    def add_to(self, section: str, command: click.Command) -> None:
        """Add *command*, which the help lists in *section*."""
        self.add_command(command)
        self._sections.setdefault(section, []).append(str(command.name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        longest = max(map(len, self.commands))
        for section, names in self._sections.items():
            rows = [
                (
                    name.ljust(longest),
                    self.commands[name].get_short_help_str(formatter.width - 6 - longest),
                )
                for name in names
            ]
            with formatter.section(section):
                formatter.write_dl(rows)

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
    """Return the exception inside nested groups of one. Return a group of several as it is."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exit_status_help(
        {
            DONE: "the command did its work",
            FAILED: "it failed",
            WRONG_WORDS: "the command line is wrong",
            INTERRUPTED: "Ctrl-C interrupted it",
        }
    ),
)
@click.version_option(package_name="thinsim")
def cli() -> None:
    """Serve sparse files over FUSE and record the space that hole punches free."""


@click.command()
@click.argument("directory", type=PATH)
@click.argument("mountpoint", type=PATH)
@click.option(
    "--foreground",
    is_flag=True,
    help="Serve in this process until SIGTERM or SIGINT. SIGUSR1 prints the stack of every thread.",
)
@control_option
@click.option(
    "--passthrough",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Let the kernel read and write the data itself. auto: if the kernel can do that. on: fail if it "
    "cannot. off: never.",
)
@click.option(
    "--fuse-uring",
    type=click.Choice([each.value for each in FuseUring]),
    default=FuseUring.OFF.value,
    show_default=True,
    help="Receive requests through io_uring (Linux 6.14). on: if the kernel offers it. "
    "enable: the same, and turn the kernel's own switch on for the moment of the mount; needs root.",
)
@click.option(
    "--events",
    "event_file",
    type=PATH,
    metavar="FILE",
    help="Append every event to this file, one line of JSON per event.",
)
@click.option(
    "--allow-estimate",
    is_flag=True,
    help="Serve although the host cannot report freed bytes; estimate them from the maps of the files.",
)
@click.option(
    "--allow-other",
    is_flag=True,
    help="Let other users use the mount, as the permissions of its files allow. A user who is not root needs "
    "user_allow_other in /etc/fuse.conf.",
)
@click.option(
    "--cache",
    type=click.FloatRange(min=0, max=86400),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="Let the kernel use names and attributes for so long without asking the server. A change that "
    "another program makes in DIRECTORY past the mount may stay unseen for that time.",
)
@click.option(
    "--ready-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help="Write one line of JSON to descriptor N when ready.",
)
@click.option(
    "--log", type=PATH, hidden=True, help="Remove this file of standard error at the end if it is empty."
)
def mount(
    directory: Path,
    mountpoint: Path,
    foreground: bool,
    control: Path | None,
    passthrough: str,
    fuse_uring: str,
    event_file: Path | None,
    allow_estimate: bool,
    allow_other: bool,
    cache: float,
    ready_fd: int | None,
    log: Path | None,
) -> None:
    """Serve DIRECTORY, with everything below it, on MOUNTPOINT.

    The server runs in the background, and the command ends when the mount is ready. The usual control socket
    is in /run/fuse-backing for root. For other users it is in the first of these directories that the user
    owns: $XDG_RUNTIME_DIR/fuse-backing, /run/user/UID/fuse-backing, /tmp/fuse-backing-UID ($TMPDIR in place
    of /tmp).
    """
    # Paths are relative to the current directory, and the server may have another one later.
    directory, mountpoint = directory.absolute(), mountpoint.absolute()
    if control is None:
        runtime.make_runtime_directory()
        control = runtime.control_socket(mountpoint)
    control = control.absolute()
    event_file = None if event_file is None else event_file.absolute()
    if not foreground:
        options = ["--passthrough", passthrough]
        options += ["--fuse-uring", fuse_uring]
        options += [] if event_file is None else ["--events", str(event_file)]
        options += ["--allow-estimate"] if allow_estimate else []
        options += ["--allow-other"] if allow_other else []
        options += ["--cache", str(cache)]
        _mount_in_background(directory, mountpoint, control, options, ready_fd)
        return
    # Only the server needs pyfuse3 and the extension.
    from fuse_backing import server, unmounting  # noqa: PLC0415
    from fuse_backing.shortcut import Passthrough  # noqa: PLC0415

    faulthandler.register(signal.SIGUSR1, all_threads=True)
    logging.basicConfig(level=logging.WARNING, format="fuse-backing: %(levelname)s: %(message)s")
    chosen = control

    def ready(info: ServerInfo) -> None:
        for remark in info.remarks():
            click.echo(f"{mountpoint}: {remark}")
        if ready_fd is not None:
            server.announce(ready_fd, chosen)
        if log is not None:
            atexit.register(unmounting.remove_if_empty, log)  # at exit: a last message may come late

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
            allow_other=allow_other,
            uring=FuseUring(fuse_uring),
            cache=cache,
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
    for remark in info.remarks():
        click.echo(f"{mountpoint}: {remark}")


@click.command()
@click.argument("mountpoint", type=PATH)
@control_option
def unmount(mountpoint: Path, control: Path | None) -> None:
    """Unmount MOUNTPOINT and end its server.

    The command also removes a mount whose server has died.
    """
    from fuse_backing import unmounting  # noqa: PLC0415

    click.echo(trio.run(unmounting.unmount_store, mountpoint, control))


for _section, _commands in (("Serve", (mount, unmount)), ("Look", LOOKING), ("Test", TESTING)):
    for _command in _commands:
        cli.add_to(_section, _command)


def main() -> None:
    """Run the command line."""
    cli(prog_name="fuse-backing")

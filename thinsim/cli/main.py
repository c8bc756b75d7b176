"""``thinsim``: the commands, and the one place where errors become exit statuses.

Exit statuses: 0 the bench did its work; 1 it could not (the text says why); 2 the command line is
wrong; 3 it did, and leaked more than ``--fail-on-leak``; 130 interrupted, everything given back.
"""

import signal
import sys
from types import FrameType

import click

from fuse_backing.errors import FuseBackingError
from thinsim import __version__
from thinsim.cli.dm import dm
from thinsim.cli.doctor import doctor
from thinsim.cli.env import env
from thinsim.cli.metadata import metadata
from thinsim.cli.pool import pool
from thinsim.cli.reproduce import reproduce
from thinsim.cli.snapshotter import snapshotter
from thinsim.cli.vm import vm
from thinsim.errors import ThinsimError

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="thinsim")
def commands() -> None:
    """A test bench for thin-provisioned container storage."""


commands.add_command(reproduce)
commands.add_command(doctor)
commands.add_command(dm)
commands.add_command(env)
commands.add_command(pool)
commands.add_command(metadata)
commands.add_command(snapshotter)
commands.add_command(vm)


def main() -> None:
    """Entry point of the console script."""
    # Where no work is under way that cancels itself, all of these end the command as Ctrl-C does.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    status = _status()
    # What there was to do is done: a signal while the interpreter ends must not look like a failure.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def _status() -> int:
    try:
        status = commands.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("thinsim: interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (ThinsimError, FuseBackingError, OSError) as error:
        click.echo(f"thinsim: {error}", err=True)
        return 1
    return status if isinstance(status, int) else 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)

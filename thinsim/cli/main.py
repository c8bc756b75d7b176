"""``thinsim`` has its commands here, and the one place where errors become exit statuses (docs/reference/commands.md).

A command's module is loaded when the command is called, so that ``--help`` answers at once.
"""

import signal
import sys
from types import FrameType

import click

from fuse_backing.errors import FuseBackingError
from thinsim import __version__
from thinsim.cli.lazy_group import LazyGroup
from thinsim.cli.statuses import DONE, FAILED, INTERRUPTED, WRONG_WORDS
from thinsim.errors import ThinsimError, UnknownNameError

COMMANDS = {
    "baseline": (
        "regression:baseline",
        "What scenarios measured, stored to compare later runs with (thinsim ci).",
    ),
    "bench": (
        "benchmark:bench",
        "Measure snapshots, images and containers: interleaved rounds, medians, ratios, what processes cost.",
    ),
    "ci": (
        "regression:ci",
        "Run each SCENARIO (by default those of the baseline) and compare with the baseline.",
    ),
    "compare": (
        "benchmark:compare",
        "Compare what thinsim bench --json wrote, A before and B after: ratios and how sure they are.",
    ),
    "completion": (
        "completion:completion",
        "Print the completion script of SHELL for both programs.",
    ),
    "conformance": (
        "conformance.group:conformance",
        "Put the same histories to the kernel's dm-thin and to thinsim's, and compare every answer.",
    ),
    "dm": ("dm:dm", "The emulated device-mapper that the drop-in dmsetup talks to."),
    "doctor": (
        "doctor:doctor",
        "List what the rigs need with a fix for each lack, and what killed runs and stores left behind.",
    ),
    "env": ("env:env", "Run COMMAND with a dmsetup that works without device-mapper in the kernel."),
    "metadata": (
        "metadata:metadata",
        "Check or show a thin pool's metadata: a file, or a device that no pool uses at the moment.",
    ),
    "pool": ("pool:pool", "Thin pools that stay until they are removed."),
    "report": (
        "report:report",
        "Show DOCUMENT, what thinsim run --json wrote, as a table or in other forms.",
    ),
    "reproduce": (
        "reproduce:reproduce",
        "Import an image, run a container, remove both; once per setting of the snapshotter.",
    ),
    "run": ("run:run", "Run SCENARIO, a file or a name of the library (thinsim scenarios list)."),
    "scenarios": ("scenarios:scenarios", "Scenario files: those that come with thinsim, and one's own."),
    "snapshotter": ("snapshotter.group:snapshotter", "The snapshotter on a pool that stands."),
    "vm": (
        "vm:vm",
        "A throw-away virtual machine with the kernel's own dm-thin, on a view of this machine.",
    ),
    "watch": (
        "watch:watch",
        "Show the running pool NAME: space used and leaked now, its devices, discards as they come.",
    ),
}
"""Per command its module and object below ``thinsim.cli.commands``, and the first sentence of its help."""


@click.group(
    cls=LazyGroup,
    commands_below="thinsim.cli.commands",
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="thinsim")
def commands() -> None:
    """A test bench for thin-provisioned container storage."""


def main() -> None:
    """Entry point of the console script."""
    # Where no work is under way that cancels itself, all of these end the command as Ctrl-C does.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    status = status_of(None)
    # What there was to do is done: a signal while the interpreter ends must not look like a failure.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def status_of(arguments: list[str] | None) -> int:
    """Run a command line, by default the process's own; print what went wrong, return the exit status."""
    try:
        status = commands.main(arguments, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("thinsim: interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (ThinsimError, FuseBackingError) as error:
        click.echo(f"thinsim: {error}", err=True)
        return WRONG_WORDS if isinstance(error, UnknownNameError) else FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None and error.strerror else ""
        click.echo(f"thinsim: {where}{error.strerror or error}", err=True)
        return FAILED
    return status if isinstance(status, int) else DONE


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)

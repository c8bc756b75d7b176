"""`COMMANDS` lists the commands of ``thinsim``; `status_of` turns errors into exit statuses.

A command's module is imported when the command is called. That keeps ``--help`` fast.
"""

import signal
import sys
from types import FrameType

import click

from fuse_backing.errors import FuseBackingError
from fuse_backing.statuses import exit_status_help
from thinsim import __version__
from thinsim.cli.last_output import last_output
from thinsim.cli.lazy_group import LazyCommand, LazyGroup
from thinsim.cli.statuses import DONE, FAILED, INTERRUPTED, WRONG_WORDS
from thinsim.errors import ThinsimError, UnknownNameError
from thinsim.machine.programs import complete_path

MEASURE = "Measure"
POOLS = "Pools"
CONTAINERD = "containerd"
CONFORMANCE = "Conformance"
SET_UP = "Set-up"

COMMANDS = {
    "reproduce": LazyCommand(
        "reproduce:reproduce", MEASURE, "Import an image, run a container, remove both, show the leaks."
    ),
    "run": LazyCommand("run:run", MEASURE, "Run SCENARIO, a file or a name from the library."),
    "scenarios": LazyCommand("scenarios:scenarios", MEASURE, "List, print, copy and check scenario files."),
    "report": LazyCommand("report:report", MEASURE, "Show or convert the report of an earlier run."),
    "bench": LazyCommand(
        "benchmark:bench", MEASURE, "Measure the speed of snapshots, images and containers."
    ),
    "compare": LazyCommand("compare:compare", MEASURE, "Compare two results of thinsim bench."),
    "baseline": LazyCommand("baseline:baseline", MEASURE, "Store the leaks and discard costs of scenarios."),
    "ci": LazyCommand("ci:ci", MEASURE, "Run scenarios and compare the results with a baseline."),
    "pool": LazyCommand("pool:pool", POOLS, "Create, list, grow and remove thin pools."),
    "watch": LazyCommand("watch:watch", POOLS, "Show a running pool live: space, leaks, devices, discards."),
    "audit": LazyCommand("audit:audit", POOLS, "Show who owns what in a pool, and what is lost."),
    "reclaim": LazyCommand("reclaim:reclaim", POOLS, "Free the space that a pool has freed, on its host."),
    "heights": LazyCommand(
        "heights:heights", POOLS, "Show the storage below a path, and where discards die."
    ),
    "metadata": LazyCommand("metadata:metadata", POOLS, "Check, show or pack the metadata of a thin pool."),
    "dm": LazyCommand("dm:dm", POOLS, "Start, stop or show the emulated device-mapper."),
    "snapshotter": LazyCommand(
        "snapshotter.group:snapshotter", CONTAINERD, "Serve, repair and test the devmapper snapshotter."
    ),
    "env": LazyCommand("env:env", CONTAINERD, "Run COMMAND with dmsetup on the emulated device-mapper."),
    "conformance": LazyCommand(
        "conformance.group:conformance", CONFORMANCE, "Compare the emulated dm-thin with the kernel's."
    ),
    "doctor": LazyCommand("doctor:doctor", SET_UP, "List missing requirements of the rigs, each with a fix."),
    "vm": LazyCommand("vm:vm", SET_UP, "Run commands in a virtual machine with the kernel's dm-thin."),
    "completion": LazyCommand(
        "completion:completion", SET_UP, "Print a shell's completion script for both programs."
    ),
}
"""The table of commands, most used first within a section."""


@click.group(
    cls=LazyGroup,
    commands_below="thinsim.cli.commands",
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exit_status_help(
        {
            DONE: "the command did its work",
            FAILED: "it failed or found something wrong",
            WRONG_WORDS: "the command line is wrong",
            INTERRUPTED: "a signal interrupted it",
        }
    )
    + " The help of a command lists its other statuses.",
)
@click.version_option(__version__, prog_name="thinsim")
def commands() -> None:
    """Test thin-provisioned container storage and find its space leaks."""


def main() -> None:
    """Run the command line of this process and exit with its status."""
    complete_path()
    # SIGTERM and SIGHUP end a command as Ctrl-C does, unless its work handles signals itself.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    try:
        status = status_of(None)
    except OSError:  # nobody can read the error: the terminal is gone
        status = FAILED
    # The work is done. A signal during the end of the interpreter must not look like a failure.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(last_output(status))


def status_of(arguments: list[str] | None) -> int:
    """Run a command line and return its exit status. Print the error, if there is one.

    None means the arguments of this process.
    """
    try:
        status = commands.main(arguments, prog_name="thinsim", standalone_mode=False)
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

"""These commands of ``fuse-backing`` ask a running server or set the faults that it injects."""

import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import click
import trio

from fuse_backing import finding
from fuse_backing.command_options import (
    JSON,
    PATH,
    WatchCommand,
    control_option,
    file_option,
    since_mount_option,
    watch_option,
)
from fuse_backing.errors import FaultPlanError, MountpointError
from fuse_backing.faults import FaultPlan
from fuse_backing.near_names import did_you_mean, or_list
from fuse_backing.path_patterns import matches
from fuse_backing.statuses import DONE, INTERRUPTED, exit_status_help
from fuse_backing.store_client import ServerInfo, StoreClient, StoreCounts, StoreLatencies

if TYPE_CHECKING:
    from fuse_backing import watching

_Result = TypeVar("_Result")
_Counts = TypeVar("_Counts")

_INTERRUPTED = exit_status_help({INTERRUPTED: "Ctrl-C interrupted it"})


@click.command(cls=WatchCommand, epilog=_INTERRUPTED)
@click.argument("mountpoint", type=PATH, required=False)
@control_option
@watch_option
@since_mount_option
@file_option
@click.option(
    "--by-directory",
    is_flag=True,
    help="Show the sums by directory. Those of a directory contain everything below it.",
)
@JSON
def stats(
    mountpoint: Path | None,
    control: Path | None,
    watch: float | None,
    since_mount: bool,
    file: str,
    by_directory: bool,
    as_json: bool,
) -> None:
    """Show the punched and the freed bytes, in total and by file.

    A file is named by its path in the store at the time of each event. The sums
    count from the mount on, or from the last fuse-backing reset. MOUNTPOINT is not needed while only one
    server runs.
    """
    from fuse_backing import display, watching  # noqa: PLC0415

    def view(client: StoreClient, info: ServerInfo) -> "watching.CountView[StoreCounts]":
        async def look() -> StoreCounts:
            counts = await client.statistics(since_mount=since_mount)
            return counts if file == "*" else counts.of_files(file)

        return watching.CountView(
            look,
            lambda counts: display.statistics_document(counts, info, by_directory=by_directory),
            lambda counts, width: display.statistics_lines(counts, info, width, by_directory=by_directory),
            watching.statistics_interval,
        )

    _show_counts(mountpoint, control, view, watch, as_json)


@click.command(cls=WatchCommand, epilog=_INTERRUPTED)
@click.argument("mountpoint", type=PATH, required=False)
@control_option
@click.option(
    "--operation", metavar="NAME", help="Show the histogram of this operation, such as read or punch."
)
@watch_option
@since_mount_option
@JSON
def latency(
    mountpoint: Path | None,
    control: Path | None,
    operation: str | None,
    watch: float | None,
    since_mount: bool,
    as_json: bool,
) -> None:
    """Show how long requests took, by operation.

    A latency begins when the server has read a request from the kernel, and ends when it has written the
    answer. A percentile is at most 3.2 % too large. The latencies count from the mount on, or from the last
    fuse-backing reset. MOUNTPOINT is not needed while only one server runs.
    """
    from fuse_backing import latency_display, watching  # noqa: PLC0415

    def view(client: StoreClient, info: ServerInfo) -> "watching.CountView[StoreLatencies]":
        return watching.CountView(
            lambda: client.latencies(since_mount=since_mount),
            lambda found: latency_display.latency_document(found, info, operation),
            lambda found, width: latency_display.latency_lines(found, info, operation, width),
            lambda before, now: watching.latency_interval(before, now, operation),
        )

    _show_counts(mountpoint, control, view, watch, as_json)


@click.command()
@click.argument("mountpoint", type=PATH, required=False)
@control_option
def reset(mountpoint: Path | None, control: Path | None) -> None:
    """Let stats and latency count from now on.

    The ledger keeps everything since the mount: events, histogram and metrics do not change. MOUNTPOINT is
    not needed while only one server runs.
    """
    from fuse_backing import display  # noqa: PLC0415

    since = _ask(mountpoint, control, lambda client: client.reset())
    click.echo(f"stats and latency count from {display.moment(since)} on")


@click.command(epilog=_INTERRUPTED)
@click.argument("mountpoint", type=PATH, required=False)
@control_option
@click.option("--follow", is_flag=True, help="Wait for new events until Ctrl-C.")
@click.option(
    "--since", type=click.IntRange(min=0), default=0, metavar="N", help="List only the events after number N."
)
@file_option
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per event.")
def events(
    mountpoint: Path | None, control: Path | None, follow: bool, since: int, file: str, as_json: bool
) -> None:
    """List the changes that free space, and the faults.

    Such changes are hole punches, zero ranges, truncations and releases of removed files.
    MOUNTPOINT is not needed while only one server runs.
    """
    from fuse_backing import display  # noqa: PLC0415

    with _quiet_end():
        _ask(mountpoint, control, lambda client: display.show_events(client, since, follow, file, as_json))


@click.command()
@click.argument("mountpoint", type=PATH, required=False)
@control_option
@click.option(
    "--file",
    metavar="PATTERN",
    help="Show the offsets in the file with this path in the store instead of the times, or the sum over all "
    "files that this shell pattern matches, such as 'images/disk*'.",
)
@JSON
def histogram(mountpoint: Path | None, control: Path | None, file: str | None, as_json: bool) -> None:
    """Show the freed bytes by time, or by offset in a file.

    MOUNTPOINT is not needed while only one server runs.
    """
    from fuse_backing import display  # noqa: PLC0415

    with _quiet_end():
        _ask(mountpoint, control, lambda client: display.show_histogram(client, file, as_json))


@click.command("map")
@click.argument("file", type=PATH)
@click.option(
    "--control",
    type=PATH,
    metavar="SOCKET",
    help="Use this control socket of the server. Default: the usual one for the mount of FILE.",
)
@JSON
def map_(file: Path, control: Path | None, as_json: bool) -> None:
    """Show the allocated ranges and the holes of FILE.

    FILE is a file on a store's mount, or any other file.
    """
    from fuse_backing import display, mapping  # noqa: PLC0415

    with _quiet_end():
        with finding.explained(None if control is not None else file.parent):
            size, extents = trio.run(mapping.extents_of, file, control)
        display.show_map(size, extents, as_json)


@click.command()
@click.argument("mountpoint", type=PATH, required=False)
@control_option
def metrics(mountpoint: Path | None, control: Path | None) -> None:
    """Print the totals as Prometheus text.

    MOUNTPOINT is not needed while only one server runs.
    """
    with _quiet_end():
        click.echo(_ask(mountpoint, control, lambda client: client.metrics()), nl=False)


@click.group()
def faults() -> None:
    """Inject planned faults into a running mount.

    Use faults on a store whose data you can lose. They are errors, delays, lies, a full disk and a crash.
    """


@faults.command("set")
@click.argument("mountpoint", type=PATH)
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

    async def replace(client: StoreClient) -> list[str]:
        await client.set_faults(parsed)
        return await client.files()

    names = _ask(mountpoint, control, replace)
    click.echo(f"{mountpoint}: faults in force: {len(parsed.faults)}")
    for pattern in dict.fromkeys(fault.file for fault in parsed.faults if fault.file != "*"):
        if not any(matches(name, pattern) for name in names):
            near = did_you_mean(pattern, names) or or_list(names)
            click.echo(f"{mountpoint}: no file of the store matches {pattern!r} yet{near}", err=True)


@faults.command("show")
@click.argument("mountpoint", type=PATH, required=False)
@control_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects instead of text.")
def show_faults(mountpoint: Path | None, control: Path | None, as_json: bool) -> None:
    """Show the faults, and how many requests each has struck."""
    from fuse_backing import display  # noqa: PLC0415

    with _quiet_end():
        _ask(mountpoint, control, lambda client: display.show_faults(client, as_json))


@faults.command("clear")
@click.argument("mountpoint", type=PATH, required=False)
@control_option
def clear_faults(mountpoint: Path | None, control: Path | None) -> None:
    """Remove all faults."""
    _ask(mountpoint, control, lambda client: client.set_faults(FaultPlan()))
    click.echo("no faults are in force")


def _show_counts(
    mountpoint: Path | None,
    control: Path | None,
    view: "Callable[[StoreClient, ServerInfo], watching.CountView[_Counts]]",
    seconds: float | None,
    as_json: bool,
) -> None:
    from fuse_backing import watching  # noqa: PLC0415

    async def show(client: StoreClient) -> None:
        chosen = view(client, await client.ping())
        if seconds is None:
            await watching.show(chosen, as_json=as_json)
        else:
            await watching.watch(chosen, seconds, as_json=as_json)

    with _quiet_end():
        _ask(mountpoint, control, show)


def _ask(
    mountpoint: Path | None, control: Path | None, ask: Callable[[StoreClient], Awaitable[_Result]]
) -> _Result:
    """Return the answer of the server that the command line names. Explain a server that has ended."""
    with finding.explained(None if control is not None else mountpoint):
        return trio.run(ask, StoreClient(_socket(mountpoint, control)))


def _socket(mountpoint: Path | None, control: Path | None) -> Path:
    if control is not None:
        return control
    if mountpoint is not None:
        return finding.find_store(mountpoint)
    try:
        return finding.only_store()
    except MountpointError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
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


LOOKING: tuple[click.Command, ...] = (events, stats, latency, map_, histogram, metrics)
"""These commands show the records of a server."""

TESTING: tuple[click.Command, ...] = (faults, reset)
"""These commands change the behaviour or the counts of a server for a test."""

"""``thinsim reclaim`` frees space that a pool has freed and that its host still holds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fuse_backing.statuses import exit_status_help
from thinsim.cli.duration import DurationType
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.name_completion import pool_names
from thinsim.cli.output_console import notes_console, print_words, warnings_console
from thinsim.cli.progress import TerminalProgress
from thinsim.cli.quiet import quiet_option
from thinsim.cli.size import UNITS, SizeType
from thinsim.cli.statuses import DONE, FAILED, INTERRUPTED
from thinsim.node.reclaim.progress import ProgressReport, ReclaimProgress
from thinsim.units import format_size

if TYPE_CHECKING:
    from thinsim.node.active_pools import NodePool

_ENOUGH = 0.01
"""The share of the promise that may be left: a pool that runs frees more blocks meanwhile."""


@click.command(
    epilog=f"{UNITS} "
    + exit_status_help(
        {
            FAILED: "more than 1 % of the space is left",
            INTERRUPTED: "a signal interrupted it; the pool runs",
        }
    )
)
@click.argument("name", metavar="[POOL]", required=False, shell_complete=pool_names)
@click.option(
    "--offline",
    nargs=2,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="DATA METADATA",
    help="Reclaim the files or devices of a pool that is not active.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be freed, and in how many pieces.")
@click.option(
    "--pause",
    type=DurationType(0.001, 60),
    default="50ms",
    show_default=True,
    metavar="TIME",
    help="Suspend the pool for at most this time at once, such as 20ms or 0.1s.",
)
@click.option(
    "--share",
    type=click.FloatRange(0.1, 90),
    default=20,
    show_default=True,
    metavar="PERCENT",
    help="Suspend the pool for at most this share of the time.",
)
@click.option("--rate", type=SizeType(1), metavar="SIZE", help="Discard at most this much per second.")
@click.option(
    "--min-run",
    type=SizeType(),
    default=0,
    metavar="SIZE",
    help="Leave runs of free blocks that are smaller.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; sizes in bytes, times in seconds.")
@quiet_option
def reclaim(
    name: str | None,
    offline: tuple[Path, Path] | None,
    dry_run: bool,
    pause: float,
    share: float,
    rate: int | None,
    min_run: int,
    as_json: bool,
) -> int:
    """Free the space that a pool has freed, on its host.

    A pool does not discard the blocks of a thin device that is removed, so the host holds their space. This
    command suspends the pool for short pauses. In each it reads which blocks are free, discards some of them
    on the data device, and resumes the pool. Containers run on meanwhile, and their I/O waits in a pause.

    POOL is any thin pool of this machine, of the kernel or emulated. The pool takes time of its own to
    suspend, so on a slow machine a pause may be longer than --pause. If the command is killed, a guard
    process resumes the pool.

    --offline needs no pool: it does what thin_trim does, on files as well.
    """
    if (name is None) == (offline is None):
        raise click.UsageError("name one POOL, or the two devices of a pool that is not active: --offline")
    result = ReclaimProgress(name or str(offline and offline[0]))
    if dry_run:
        run_interruptible(lambda: _look(name, offline, min_run, result))
        return _print_promise(result, as_json)
    with TerminalProgress(notes_console(), lines=False) as progress:

        def report(now: ReclaimProgress) -> None:
            progress.step("reclaim", _words_of(now))

        try:
            run_interruptible(
                lambda: _run(name, offline, (pause, share / 100, rate, min_run), result, report)
            )
        except click.Abort:
            _print_result(result, as_json)
            raise
    return _print_result(result, as_json)


async def _look(
    name: str | None, offline: tuple[Path, Path] | None, min_run: int, result: ReclaimProgress
) -> None:
    # These modules are slow to import, and other command lines need not wait for them.
    from thinsim.node.reclaim.offline import promise_offline  # noqa: PLC0415
    from thinsim.node.reclaim.rounds import promise  # noqa: PLC0415

    if offline is not None:
        await promise_offline(*offline, min_run, result)
    else:
        assert name is not None
        await promise(await _find(name), min_run, result)


async def _run(
    name: str | None,
    offline: tuple[Path, Path] | None,
    bounds: tuple[float, float, int | None, int],
    result: ReclaimProgress,
    report: ProgressReport,
) -> None:
    from thinsim.node.reclaim.offline import reclaim_offline  # noqa: PLC0415
    from thinsim.node.reclaim.rounds import ReclaimOptions, reclaim  # noqa: PLC0415

    if offline is not None:
        await reclaim_offline(*offline, bounds[-1], result, report)
    else:
        assert name is not None
        await reclaim(await _find(name), ReclaimOptions(*bounds), result, report)


async def _find(name: str) -> "NodePool":
    from thinsim.node.active_pools import find_active_pool  # noqa: PLC0415

    return await find_active_pool(name)


def _print_promise(result: ReclaimProgress, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=1))
        return DONE
    print_words(
        f"{result.pool}: the host holds {format_size(result.promised)} for blocks that the pool has freed, "
        f"in {result.pieces} runs; thinsim reclaim would free it by {result.way}"
    )
    _print_doubt(result)
    return DONE


def _print_result(result: ReclaimProgress, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=1))
    else:
        for line in _lines(result):
            print_words(line)
        _print_doubt(result)
    short = result.left is not None and result.left > _ENOUGH * result.promised
    return FAILED if short or not result.complete else DONE


def _lines(result: ReclaimProgress) -> Iterator[str]:
    if result.freed is None:
        yield f"{result.pool}: discarded {format_size(result.discarded)} by {result.way}"
    else:
        share = f" ({result.freed / result.promised:.1%})" if result.promised else ""
        yield (
            f"{result.pool}: the host freed {format_size(result.freed)} of "
            f"{format_size(result.promised)}{share} by {result.way}"
        )
    if result.pauses:
        yield (
            f"{result.pauses} pauses of the pool took {result.paused:.2f} s of {result.seconds:.2f} s; the "
            f"longest took {result.longest_pause * 1000:.0f} ms"
        )
    used_again = result.promised - (result.freed or 0) - (result.left or 0)
    if result.left is not None and result.complete and used_again > 0:
        yield f"the pool has used {format_size(used_again)} again meanwhile"
    if result.left:
        yield f"the host still holds {format_size(result.left)} for free blocks"
    if result.held_before is not None and result.held_after is not None:
        yield f"data file: {format_size(result.held_before)} before, {format_size(result.held_after)} now"


def _print_doubt(result: ReclaimProgress) -> None:
    if result.unmapped:
        warnings_console().print(
            f"thinsim: the space on the host is not known, so every free block counts: {result.unmapped}"
        )


def _words_of(now: ReclaimProgress) -> str:
    return (
        f"discarded {format_size(now.discarded)} of {format_size(now.promised)} in {now.pauses} pauses, the "
        f"longest {now.longest_pause * 1000:.0f} ms"
    )

"""``thinsim watch`` shows a running pool and updates the view."""

import errno
import json
import math
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click
import trio
from rich.console import Console
from rich.live import Live

from fuse_backing.errors import ServerGoneError
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.name_completion import pool_names
from thinsim.cli.output_console import output_console
from thinsim.errors import DeviceMapperError

if TYPE_CHECKING:
    from thinsim.watch.moment import Moment
    from thinsim.watch.watching import Watch

_GONE = (errno.ENXIO, errno.ENOENT, errno.ECONNREFUSED, errno.ECONNRESET)


@click.command()
@click.argument("name", shell_complete=pool_names)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    help="Wait this many seconds between updates.",
)
@click.option(
    "--count", type=click.IntRange(min=1), help="End after this many updates. Default: run until Ctrl-C."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per update; sizes in bytes.")
def watch(name: str, interval: float, count: int | None, as_json: bool) -> None:
    """Show a running pool live: space, leaks, devices, discards.

    NAME is a pool of thinsim pool, or the pool of a scenario that is running. The view shows the used,
    allocated, freed and leaked bytes with their changes, the active thin devices, and each discard. The
    command changes nothing in the pool and blocks nothing. It ends with status 0 on Ctrl-C, after --count
    updates, or when the pool is removed.
    """
    if not math.isfinite(interval):
        raise click.BadParameter("must be a finite number of seconds", param_hint="'--interval'")
    with suppress(click.Abort):  # Ctrl-C is the normal end
        run_interruptible(lambda: _watch(name, interval, count, as_json), quiet=True)


async def _watch(name: str, interval: float, count: int | None, as_json: bool) -> None:
    # These modules are slow to import, and other command lines need not wait for them.
    from thinsim.watch.finding import find_pool  # noqa: PLC0415
    from thinsim.watch.view import view  # noqa: PLC0415
    from thinsim.watch.watching import watching  # noqa: PLC0415

    console = Console()
    looks = 0
    before = None
    async with watching(await find_pool(name)) as watched:
        with Live(console=console, auto_refresh=False, screen=False) as live:
            while True:
                now = await _look(watched)
                if now is None:
                    click.echo(f"Pool {name} was removed.", err=True)
                    return
                if as_json:
                    click.echo(json.dumps(now.to_json()))
                    sys.stdout.flush()
                else:
                    shown = view(name, now, before, console.width)
                    if console.is_terminal:
                        live.update(shown, refresh=True)
                    else:
                        output_console().print(shown, crop=False)
                before, looks = now, looks + 1
                if count is not None and looks >= count:
                    return
                await trio.sleep(interval)


async def _look(watched: "Watch") -> "Moment | None":
    """Return the current figures, or None when the pool or its process has ended."""
    try:
        return await watched.look()
    except DeviceMapperError as error:
        if error.errno in _GONE:
            return None
        raise
    except ServerGoneError:
        return None

"""``thinsim watch`` shows a running pool, live."""

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
    help="Seconds to wait.",
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many looks. Default: until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON a look.")
def watch(name: str, interval: float, count: int | None, as_json: bool) -> None:
    """Show the running pool NAME: space used and leaked now, its devices, discards as they come.

    Of thinsim pool, or of a run under way. Nothing is changed by looking. Ends with exit
    status 0: by Ctrl-C, after --count looks, or with the pool.
    """
    if not math.isfinite(interval):
        raise click.BadParameter("a number of seconds that can be waited", param_hint="'--interval'")
    with suppress(click.Abort):  # how it is meant to end
        run_interruptible(lambda: _watch(name, interval, count, as_json), quiet=True)


async def _watch(name: str, interval: float, count: int | None, as_json: bool) -> None:
    # The store's client is heavy to import; the command line is not to wait for it.
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
                    click.echo(f"pool {name} is gone", err=True)
                    return
                if as_json:
                    click.echo(json.dumps(now.to_json()))
                    sys.stdout.flush()
                else:
                    shown = view(name, now, before, watched.events, console.width)
                    if console.is_terminal:
                        live.update(shown, refresh=True)
                    else:
                        output_console().print(shown)
                before, looks = now, looks + 1
                if count is not None and looks >= count:
                    return
                await trio.sleep(interval)


async def _look(watched: "Watch") -> "Moment | None":
    """Return the moment; None once the pool, or who ran it, has gone."""
    try:
        return await watched.look()
    except DeviceMapperError as error:
        if error.errno in _GONE:
            return None
        raise
    except ServerGoneError:
        return None

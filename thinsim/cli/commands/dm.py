"""``thinsim dm`` starts, shows and ends the standing device-mapper."""

import json
from functools import partial

import click
import trio

from thinsim.cli.statuses import DONE, FAILED
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.standing.places import Places
from thinsim.dm.standing.start import answers, ensure_running
from thinsim.dm.standing.stop import stop_running


@click.group()
def dm() -> None:
    """The emulated device-mapper that the drop-in dmsetup talks to."""


@dm.command()
def start() -> None:
    """Start it, unless it runs."""
    ensure_running(Places.of_this_user())


@dm.command()
@click.option("--force", is_flag=True, help="Also when there are devices; what is mounted from them fails.")
def stop(force: bool) -> None:
    """End it; its devices go with it. No error when none runs."""
    places = Places.of_this_user()
    if answers(places):
        trio.run(partial(stop_running, places, force=force))


@dm.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: whether it runs, and its devices' names.")
def status(as_json: bool) -> int:
    """Say whether it runs, and with which devices. Exit 1 if not."""
    places = Places.of_this_user()
    devices = trio.run(EmulatedDeviceMapper(places.verbs).list) if answers(places) else None
    if as_json:
        click.echo(json.dumps({"running": devices is not None, "devices": devices or []}))
    elif devices is None:
        click.echo("the emulated device-mapper is not running (thinsim dm start)")
    else:
        count = f"{len(devices)} device{'' if len(devices) == 1 else 's'}"
        click.echo(f"running, {count}; log: {places.log}")
        for name in devices:
            click.echo(name)
    return DONE if devices is not None else FAILED

"""``thinsim dm`` starts, shows and stops the emulated device-mapper of this user."""

import json
from functools import partial

import click
import trio

from fuse_backing.statuses import exit_status_help
from thinsim.cli.statuses import DONE, FAILED
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.standing.places import Places
from thinsim.dm.standing.start import answers, ensure_running
from thinsim.dm.standing.stop import stop_running
from thinsim.machine.root import if_not_root


@click.group()
def dm() -> None:
    """Start, stop or show the emulated device-mapper.

    The dmsetup of thinsim env and the pools of thinsim pool use it, and start it when they need it.
    """


@dm.command()
def start() -> None:
    """Start the emulated device-mapper unless it runs."""
    ensure_running(Places.of_this_user())


@dm.command()
@click.option(
    "--force", is_flag=True, help="Stop it although it has devices. File systems mounted from them fail."
)
def stop(force: bool) -> None:
    """Stop the emulated device-mapper and remove its devices.

    The command needs --force if devices exist. It succeeds as well if the device-mapper is not running.
    """
    places = Places.of_this_user()
    if answers(places):
        trio.run(partial(stop_running, places, force=force))


@dm.command(epilog=exit_status_help({FAILED: "it is not running"}))
@click.option("--json", "as_json", is_flag=True, help="Print the state and the names of the devices as JSON.")
def status(as_json: bool) -> int:
    """Show the state and the devices of the emulated device-mapper."""
    places = Places.of_this_user()
    devices = trio.run(EmulatedDeviceMapper(places.verbs).list) if answers(places) else None
    if as_json:
        click.echo(json.dumps({"running": devices is not None, "devices": devices or []}))
    elif devices is None:
        fix = if_not_root("Its devices") or ". To start it, run: thinsim dm start"
        click.echo(f"The emulated device-mapper is not running{fix}")
    else:
        count = f"{len(devices)} device{'' if len(devices) == 1 else 's'}"
        click.echo(f"running, {count}; log: {places.log}")
        for name in devices:
            click.echo(name)
    return DONE if devices is not None else FAILED

"""``thinsim dm``: the standing device-mapper itself."""

import json

import click
import trio

from fuse_backing.control import ControlClient
from fuse_backing.errors import ControlError
from thinsim.dm.emulated import EmulatedDeviceMapper
from thinsim.dm.standing.places import Places
from thinsim.dm.standing.start import answers, ensure_running
from thinsim.errors import BenchError
from thinsim.rig.state import ProcessIdentity

_PATIENCE = 30.0


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
        trio.run(_stop, places, force)


@dm.command()
@click.option("--json", "as_json", is_flag=True)
def status(as_json: bool) -> int:
    """Say whether it runs, and with which devices. Exit 1 if not."""
    places = Places.of_this_user()
    devices = trio.run(EmulatedDeviceMapper(places.verbs).list) if answers(places) else None
    if as_json:
        click.echo(json.dumps({"running": devices is not None, "devices": devices or []}))
    elif devices is None:
        click.echo("the emulated device-mapper is not running (thinsim dm start)")
    else:
        click.echo(f"running, {len(devices)} devices; log: {places.log}")
        for name in devices:
            click.echo(name)
    return 0 if devices is not None else 1


async def _stop(places: Places, force: bool) -> None:
    devices = await EmulatedDeviceMapper(places.verbs).list()
    if devices and not force:
        raise BenchError(
            f"it has devices ({', '.join(devices[:5])}{', ...' if len(devices) > 5 else ''}): "
            "dmsetup remove them first, or stop with --force"
        )
    try:
        pid = await ControlClient(places.verbs).server_pid()
    except ControlError:
        return
    identity = ProcessIdentity.of(pid)
    if identity is None:
        return
    identity.send(15)
    with trio.move_on_after(_PATIENCE):
        while identity.is_running():
            await trio.sleep(0.05)
        return
    raise BenchError(f"process {pid} does not end; its log: {places.log}")

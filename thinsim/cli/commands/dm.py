"""``thinsim dm`` starts, shows and stops the emulated device-mapper of this user."""

import json
from contextlib import suppress
from dataclasses import asdict
from functools import partial

import click
import trio

from fuse_backing.fuse_uring import Transport
from fuse_backing.statuses import exit_status_help
from thinsim.cli.statuses import DONE, FAILED
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.standing.places import Places
from thinsim.dm.standing.start import answers, ensure_running
from thinsim.dm.standing.stop import stop_running
from thinsim.errors import DeviceMapperError
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
@click.option(
    "--json", "as_json", is_flag=True, help="Print the state, the devices and their data planes as JSON."
)
def status(as_json: bool) -> int:
    """Show the state and the devices of the emulated device-mapper.

    The line of a pool has its data plane. C threads serve its thin devices, or Python, for the reason given.
    The first line has the way of the kernel's requests, /dev/fuse or io_uring.
    """
    places = Places.of_this_user()
    devices, planes, transport = trio.run(_look, places) if answers(places) else (None, {}, None)
    if as_json:
        running = devices is not None
        shown = None if transport is None else asdict(transport)
        document = {"running": running, "devices": devices or [], "data_planes": planes, "transport": shown}
        click.echo(json.dumps(document))
    elif devices is None:
        fix = if_not_root("Its devices") or ". To start it, run: thinsim dm start"
        click.echo(f"The emulated device-mapper is not running{fix}")
    else:
        count = f"{len(devices)} device{'' if len(devices) == 1 else 's'}"
        way = "" if transport is None else f"; requests through {transport.name}"
        click.echo(f"running, {count}{way}; log: {places.log}")
        if transport is not None and transport.reason:
            click.echo(f"no FUSE over io_uring: {transport.reason}")
        for name in devices:
            click.echo(f"{name}, data plane: {planes[name]}" if name in planes else name)
    return DONE if devices is not None else FAILED


async def _look(places: Places) -> tuple[list[str], dict[str, str], Transport | None]:
    """Return the names of the devices, the data plane of each pool by its name, and the transport."""
    dm = EmulatedDeviceMapper(places.verbs)
    devices, planes = await dm.list(), {}
    for name in devices:
        with suppress(DeviceMapperError):  # it is no pool, or is gone meanwhile
            planes[name] = (await dm.plane_traffic(name)).backend
    transport = None
    with suppress(DeviceMapperError):  # it was started by an older thinsim
        transport = await dm.transport()
    return devices, planes, transport

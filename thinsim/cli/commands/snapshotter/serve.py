"""``thinsim snapshotter serve`` serves the snapshotter as a proxy plugin of containerd."""

import json
import logging
import os
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import trio

from thinsim.dm.standing.choose import device_mapper_of_this_machine
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.journal import Journal
from thinsim.machine.sockets import runtime_directory
from thinsim.snapshotter.config import Config


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Read containerd's config.toml with its devmapper table, or a file with those keys at its top.",
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    help="Listen on this socket. Default: snapshotter.sock in thinsim's runtime directory.",
)
@click.option(
    "--device-mapper",
    "control",
    type=click.Path(path_type=Path, exists=True),
    help="Connect to this control socket. Default: the device-mapper of this machine.",
)
@click.option(
    "--journal", type=click.Path(path_type=Path, exists=True), help="Join the run that has this journal."
)
@click.option("--ready-fd", type=int, help="Write one line of JSON to this descriptor when ready.")
def serve(
    config: Path, socket: Path | None, control: Path | None, journal: Path | None, ready_fd: int | None
) -> None:
    """Serve a pool to containerd as a proxy snapshotter.

    The command serves the pool that --config names until SIGTERM or SIGINT. Add to containerd's config.toml:
    [proxy_plugins.thinsim] with type = "snapshot" and address = SOCKET. Then use: ctr --snapshotter thinsim.
    It needs root, and pip install 'thinsim[grpc]'.
    """
    settings = Config.load(config)
    if os.geteuid() != 0:
        raise EnvironmentLacksError(
            "snapshotter serve needs root to make and mount file systems: run it with sudo"
        )
    process = _process()
    if socket is None:
        runtime_directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    place = socket or runtime_directory() / "snapshotter.sock"
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    def ready() -> None:
        if ready_fd is not None:
            os.write(ready_fd, json.dumps({"pid": os.getpid(), "socket": str(place)}).encode() + b"\n")
            os.close(ready_fd)

    trio.run(
        partial(
            process.serve_snapshotter,
            settings,
            device_mapper_of_this_machine(settings.pool_name, control),
            place,
            journal=None if journal is None else Journal.join(journal),
            when_ready=ready,
        )
    )


def _process() -> ModuleType:
    """Return the module of the server. Only it needs grpcio and protobuf."""
    try:
        return import_module("thinsim.snapshotter.proxy.process")
    except ModuleNotFoundError as error:
        raise EnvironmentLacksError(
            f"snapshotter serve needs the package {error.name}: pip install 'thinsim[grpc]'"
        ) from None

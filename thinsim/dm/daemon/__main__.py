"""Run the emulated device-mapper: ``python -m thinsim.dm.daemon --mountpoint M --control S --journal J``."""

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

import trio

from fuse_backing.control import ControlServer
from fuse_backing.session import mounted
from thinsim.block.linux import LinuxBlockDevice
from thinsim.dm.daemon.loop_nodes import LoopNodes
from thinsim.dm.daemon.verbs import commands
from thinsim.dm.daemon.volumes import VolumeOperations
from thinsim.dm.local import LocalDeviceMapper
from thinsim.dm.runner import on_thread
from thinsim.errors import ThinsimError
from thinsim.rig.journal import Journal

log = logging.getLogger("thinsim.dm.daemon")


def main() -> None:
    """Serve until SIGTERM or SIGINT, then remove every device in order."""
    parser = argparse.ArgumentParser(prog="thinsim-dm-daemon", description=__doc__)
    parser.add_argument("--mountpoint", type=Path, required=True, help="where the thin volumes are mounted")
    parser.add_argument("--control", type=Path, required=True, help="path of the control socket to make")
    parser.add_argument("--journal", type=Path, required=True, help="journal of the run that this belongs to")
    parser.add_argument("--ready-fd", type=int, help="gets one JSON line once verbs are served")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    faulthandler.register(signal.SIGUSR1)
    try:
        trio.run(
            partial(serve, arguments.mountpoint, arguments.control, arguments.journal, arguments.ready_fd)
        )
    except (ThinsimError, OSError) as error:
        sys.exit(f"thinsim-dm-daemon: {error}")


async def serve(mountpoint: Path, control: Path, journal: Path, ready_fd: int | None) -> None:
    """Mount the volumes, serve the verbs, say that it is ready, wait for the signal to end."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            released: list[LocalDeviceMapper] = []

            def on_released(name: str) -> None:
                for mapper in released:
                    nursery.start_soon(_finish_removal, mapper, nodes, name)

            operations = VolumeOperations(mountpoint, on_released)
            nodes = LoopNodes(operations, Journal.join(journal))
            mapper = LocalDeviceMapper(
                nodes,
                lambda path: LinuxBlockDevice(Path(path)),
                on_thread,
                lambda path: LinuxBlockDevice(Path(path), read_only=True),
            )
            released.append(mapper)
            async with (
                mounted(operations, mountpoint, fsname="thinsim-volumes", subtype="thinsim"),
                mapper.running(),
            ):
                await nursery.start(ControlServer(commands(mapper)).serve, control)
                if ready_fd is not None:
                    os.write(ready_fd, json.dumps({"pid": os.getpid()}).encode() + b"\n")
                    os.close(ready_fd)
                async for number in signals:
                    log.info("ending on %s", signal.Signals(number).name)
                    break
            nursery.cancel_scope.cancel()


async def _finish_removal(mapper: LocalDeviceMapper, nodes: LoopNodes, name: str) -> None:
    if await nodes.forget_if_gone(name):
        await mapper.gone(name)


if __name__ == "__main__":
    main()

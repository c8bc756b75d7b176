"""The daemon runs the emulated device-mapper.

``python -m thinsim.dm.daemon --mountpoint M --control S --journal J``
"""

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from fuse_backing.channel_options import ChannelOptions
from fuse_backing.control import ControlServer
from fuse_backing.session import mounted
from thinsim.block.linux import LinuxBlockDevice
from thinsim.dm.daemon.ioctl.control_device import serve_control_device
from thinsim.dm.daemon.ioctl.service import IoctlService
from thinsim.dm.daemon.loop_nodes import LoopNodes
from thinsim.dm.daemon.native_plane import VARIABLE, NativePlane, VolumeBypass
from thinsim.dm.daemon.registry import Registry, restore
from thinsim.dm.daemon.verbs import verb_handlers
from thinsim.dm.daemon.volumes import VolumeOperations
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.pool.plane import NoPlane
from thinsim.dm.emulator.runner import on_thread
from thinsim.errors import ThinsimError
from thinsim.machine.fuse_transport import wanted_transport
from thinsim.machine.journal import Journal, TakenKind
from thinsim.machine.recovery import recover_abandoned

log = logging.getLogger("thinsim.dm.daemon")


def main() -> None:
    """Serve until SIGTERM or SIGINT, then remove every device in order."""
    parser = argparse.ArgumentParser(prog="thinsim-dm-daemon", description=__doc__)
    parser.add_argument("--mountpoint", type=Path, required=True, help="mount point of the thin volumes")
    parser.add_argument("--control", type=Path, required=True, help="path of the control socket to create")
    parser.add_argument("--control-device", type=Path, help="path of the socket for dmsetup's ioctls")
    parser.add_argument("--journal", type=Path, help="journal of the run that starts it; default: a new one")
    parser.add_argument("--registry", type=Path, help="file that records the devices; read at the start")
    parser.add_argument("--ready-fd", type=int, help="file descriptor that gets one JSON line when ready")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    faulthandler.register(signal.SIGUSR1)
    try:
        trio.run(serve, arguments)
    except (ThinsimError, OSError) as error:
        sys.exit(f"thinsim-dm-daemon: {error}")


async def serve(arguments: argparse.Namespace) -> None:
    """Mount the volumes, serve the verbs, report readiness, and end at the signal."""
    registry = Registry(arguments.registry) if arguments.registry is not None else None
    if arguments.journal is not None:
        await _serve(arguments, registry, Journal.join(arguments.journal))
        return
    journal = await _own_journal()
    mount = journal.begin(TakenKind.MOUNT, target=arguments.mountpoint)
    arguments.mountpoint.mkdir(mode=0o700, exist_ok=True)
    await _serve(arguments, registry, journal)
    journal.end(mount)
    journal.close()


async def _serve(arguments: argparse.Namespace, registry: Registry | None, journal: Journal) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            released: list[LocalDeviceMapper] = []

            def on_released(name: str) -> None:
                for mapper in released:
                    nursery.start_soon(_finish_removal, mapper, nodes, name)

            plane = NativePlane()
            channel = plane.channel()
            served = channel is not None
            channel = replace(channel or ChannelOptions(), uring=wanted_transport())
            operations = VolumeOperations(
                arguments.mountpoint,
                on_released,
                *([partial(VolumeBypass, plane)] if served else []),
            )
            nodes = LoopNodes(operations, journal)
            mapper = LocalDeviceMapper(
                nodes,
                lambda path: LinuxBlockDevice(Path(path)),
                on_thread,
                lambda path: LinuxBlockDevice(Path(path), read_only=True),
                plane=plane if served else NoPlane(f"{VARIABLE}=off"),
            )
            released.append(mapper)
            async with (
                mounted(
                    operations,
                    arguments.mountpoint,
                    fsname="thinsim-volumes",
                    subtype="thinsim",
                    channel=channel,
                ) as session,
                mapper.running(),
            ):
                plane.transport = session.transport
                if served:
                    nursery.start_soon(plane.watch)
                if registry is not None:
                    await restore(mapper, registry.load())
                    mapper.when_changed = partial(registry.save, mapper)
                    mapper.when_changed()
                verbs = ControlServer(verb_handlers(mapper, session.transport))
                await nursery.start(verbs.serve, arguments.control)
                if arguments.control_device is not None:
                    await nursery.start(serve_control_device, arguments.control_device, IoctlService(mapper))
                if arguments.ready_fd is not None:
                    os.write(arguments.ready_fd, json.dumps({"pid": os.getpid()}).encode() + b"\n")
                    os.close(arguments.ready_fd)
                async for number in signals:
                    log.info("ending on %s", signal.Signals(number).name)
                    break
            nursery.cancel_scope.cancel()


async def _own_journal() -> Journal:
    """Start a journal for this process, after a clean-up of what killed processes left."""
    for problem in await trio.to_thread.run_sync(recover_abandoned, log.info):
        log.warning("left by a killed process: %s", problem)
    return Journal.create()


async def _finish_removal(mapper: LocalDeviceMapper, nodes: LoopNodes, name: str) -> None:
    if await nodes.forget_if_gone(name):
        await mapper.gone(name)


if __name__ == "__main__":
    main()

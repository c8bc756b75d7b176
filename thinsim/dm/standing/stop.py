"""`stop_running` ends the machine's emulated device-mapper, found by the identity of its process."""

import trio

from fuse_backing.control import ControlClient
from fuse_backing.errors import ControlError
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.standing.places import Places
from thinsim.errors import ConflictError, ProgramFailedError
from thinsim.machine.state import ProcessIdentity

_PATIENCE = 30.0


async def stop_running(places: Places, *, force: bool) -> None:
    """End the daemon at *places*, and its devices with it if *force*; return when it has ended.

    ConflictError while it has devices, without *force*. ProgramFailedError if it does not end.
    """
    devices = await EmulatedDeviceMapper(places.verbs).list()
    if devices and not force:
        raise ConflictError(
            "the emulated device-mapper has devices "
            f"({', '.join(devices[:5])}{', ...' if len(devices) > 5 else ''}): "
            "remove them with dmsetup remove, or use --force"
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
    raise ProgramFailedError(f"process {pid} does not end; see its log: {places.log}")

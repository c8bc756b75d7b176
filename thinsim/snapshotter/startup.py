"""What an earlier run left of the devices, settled before the first verb.

A record in a state between two acts tells of a crash. containerd (``ensureDeviceStates``,
``plugins/snapshots/devmapper/pool_device.go``) does not guess how far it got: such a device is Faulty
and its thin id given up. One that was active and is not, after a reboot, is activated again.
"""

import logging

from thinsim.errors import ThinsimError
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.snapshotter.pool_device import PoolDevice
from thinsim.snapshotter.pool_metadata import DeviceRecord, PoolMetadata

_log = logging.getLogger(__name__)

_SETTLED = frozenset(
    {
        DeviceState.SUSPENDED,
        DeviceState.RESUMED,
        DeviceState.DEACTIVATED,
        DeviceState.REMOVED,
        DeviceState.FAULTY,
    }
)


async def settle_devices(pool: PoolDevice, metadata: PoolMetadata) -> None:
    """Bring every record to a state that says what the device is.

    FailedPreconditionError names each device that could not be activated again.
    """
    failures = []
    for device in metadata.devices():
        if device.state is DeviceState.ACTIVATED:
            try:
                await _activate_again(pool, device)
            except ThinsimError as error:
                failures.append(f"{device.name}: {error}")
        elif device.state not in _SETTLED:
            _log.warning(
                "device %s (thin id %d) was left in state %s, error %r: marked faulty",
                device.name,
                device.thin_id,
                device.state,
                device.error,
            )
            metadata.mark_faulty(device.name)
    if failures:
        raise FailedPreconditionError("devices that were active cannot be activated: " + "; ".join(failures))


async def _activate_again(pool: PoolDevice, device: DeviceRecord) -> None:
    if not await pool.is_active(device.name):
        _log.warning("device %s was active and is not any more: activating it", device.name)
        await pool.activate(device.name)

"""Before the first verb, these functions check the pool and settle the devices of an earlier run.

A record in a state between two acts is a sign of a crash. containerd (``ensureDeviceStates``,
``plugins/snapshots/devmapper/pool_device.go``) does not guess how far the act got: it marks the device
and its thin id as faulty. A device that was active and no longer is, as after a reboot, is activated again.
"""

import errno
import logging
from collections.abc import Set

from thinsim.dm.interface import DeviceMapper
from thinsim.errors import DeviceMapperError, EnvironmentLacksError, ThinsimError
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.device_store import DeviceRecord, DeviceStore
from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.snapshotter.pool_device import PoolDevice
from thinsim.thin.status import parse_pool_status

_log = logging.getLogger(__name__)

LEFT_IN = "a crash left it in state"
"""The start of the error text of a device that is marked faulty and had no error text before."""

_SETTLED = frozenset(
    {
        DeviceState.SUSPENDED,
        DeviceState.RESUMED,
        DeviceState.DEACTIVATED,
        DeviceState.REMOVED,
        DeviceState.FAULTY,
    }
)

# The removal is complete in the store, and no act on the device has begun.
_DONE = (_SETTLED | {DeviceState.ACTIVATED}) - {DeviceState.FAULTY}


async def require_pool(dm: DeviceMapper, name: str) -> None:
    """Check that pool *name* exists. Raise EnvironmentLacksError, which names the command to create it."""
    try:
        await dm.info(name)
    except DeviceMapperError as error:
        if error.errno != errno.ENXIO:
            raise
        raise EnvironmentLacksError(
            f"thin pool {name!r} does not exist; create it with: thinsim pool create {name}, or "
            f"dmsetup create {name} --table '0 SECTORS thin-pool METADATA DATA 128 32768'"
        ) from error


async def require_passdown(dm: DeviceMapper, name: str) -> None:
    """Check that pool *name* passes discards down to its data device. Raise EnvironmentLacksError.

    containerd does not check this (leak F): blkdiscard then succeeds and frees nothing on the host. The
    kernel also shows no_discard_passdown if the data device does not support discards (dm-thin.c,
    pool_status and disable_discard_passdown_if_not_supported).
    """
    status = parse_pool_status(await dm.status(name))
    if status.discard != "discard_passdown":
        raise EnvironmentLacksError(
            f"thin pool {name!r} does not pass discards down ({status.discard}), and require_passdown is on: "
            "remove no_discard_passdown and ignore_discard from its table and check that its data device "
            "supports discards (lsblk --discard), or turn require_passdown off"
        )


async def settle_devices(pool: PoolDevice, metadata: DeviceStore, waiting: Set[str]) -> None:
    """Bring every record to the actual state of its device; leave the *waiting* devices to cleanup.

    Raise FailedPreconditionError, which names each device that could not be activated again.
    """
    failures = []
    for device in metadata.devices():
        if device.name in waiting and device.state in _DONE:
            metadata.set_result(device.name, DeviceState.REMOVED)
        elif device.state is DeviceState.ACTIVATED:
            try:
                await _activate_again(pool, device)
            except ThinsimError as error:
                failures.append(f"{device.name}: {error}")
        elif device.state not in _SETTLED:
            _log.warning(
                "a crash left device %s (thin id %d) in state %s, error %r: marked it faulty",
                device.name,
                device.thin_id,
                device.state,
                device.error,
            )
            metadata.mark_faulty(device.name, device.error or f"{LEFT_IN} {device.state}")
    if failures:
        raise FailedPreconditionError("devices that were active cannot be activated: " + "; ".join(failures))


async def _activate_again(pool: PoolDevice, device: DeviceRecord) -> None:
    if not await pool.is_active(device.name):
        _log.warning("device %s was active and no longer is: activating it", device.name)
        await pool.activate(device.name)

"""From a pool's table to a pool in service: open its two devices, load what was saved last."""

import errno
from collections.abc import Callable
from contextlib import suppress

from thinsim.block.interface import BlockDevice
from thinsim.dm.active_pool import ActivePool
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.dm.runner import Runner
from thinsim.errors import DeviceMapperError, InvalidValueError, KernelError
from thinsim.thin.pool import Pool
from thinsim.thin.table import PoolTable
from thinsim.units import bytes_of

OpenBlock = Callable[[str], BlockDevice]
"""Opens a device by the path in a table; ``OSError``, or InvalidValueError when it is no block device."""


async def activate(table: PoolTable, open_block: OpenBlock, run: Runner) -> ActivePool:
    """Return the pool of *table*; what was formatted or grown is committed, or the pool is read-only.

    DeviceMapperError: the errno of opening a device; EINVAL, EPERM as the engine; EILSEQ for damaged
    metadata; EIO, ENOSPC from the metadata device. Both devices are closed then.
    """
    opened: list[BlockDevice] = []
    try:
        metadata = await open_device(table.metadata_dev, "metadata", open_block, run)
        opened.append(metadata)
        data = await open_device(table.data_dev, "data", open_block, run)
        opened.append(data)
        if bytes_of(table.length) > data.size:
            raise DeviceMapperError(errno.EINVAL, f"{table.data_dev} is too small for the pool's table")
        pool = await _load(table, data, MetadataDevice(metadata), run)
        with suppress(DeviceMapperError):  # it shows in the mode (pool_preresume)
            await pool.commit()
    except BaseException:
        for device in opened:
            device.close()
        raise
    return pool


async def _load(table: PoolTable, data: BlockDevice, metadata: MetadataDevice, run: Runner) -> ActivePool:
    def load() -> Pool:
        return Pool(
            table.features,
            table.block_size,
            table.length // table.block_size,
            metadata,
            low_water_blocks=table.low_water_blocks,
            data_can_discard=data.max_discard_bytes >= bytes_of(table.block_size),
            flush_data=data.flush,
        )

    try:
        engine = await run(load)
    except KernelError as error:
        raise DeviceMapperError(error.errno, f"Error creating metadata object: {error.args[0]}") from error
    except OSError as error:
        raise DeviceMapperError(
            error.errno or errno.EIO, f"Error creating metadata object: cannot use {table.metadata_dev}"
        ) from error
    return ActivePool(engine, data, metadata, run)


async def open_device(path: str, role: str, open_block: OpenBlock, run: Runner) -> BlockDevice:
    """Open a device that a table names, on a thread if need be; DeviceMapperError with the errno."""
    try:
        device: BlockDevice = await run(open_block, path)
    except OSError as error:
        raise DeviceMapperError(error.errno or errno.EIO, f"cannot open the {role} device {path}") from error
    except InvalidValueError as error:
        raise DeviceMapperError(errno.ENOTBLK, f"the {role} device: {error}") from error
    return device

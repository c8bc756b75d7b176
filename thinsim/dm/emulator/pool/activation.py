"""From a pool's table to a pool in service: load what was saved last."""

import errno

from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.pool.active_pool import ActivePool
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.errors import DeviceMapperError, KernelError
from thinsim.thin.pool import Pool
from thinsim.thin.table import PoolTable
from thinsim.units import bytes_of


async def activate(table: PoolTable, metadata: BlockDevice, data: BlockDevice, run: Runner) -> ActivePool:
    """Return the pool of *table* on two open devices; metadata of zeros is formatted.

    DeviceMapperError: EINVAL, EPERM as the engine; EILSEQ for damaged metadata; EIO, ENOSPC from the
    metadata device.
    """
    store = MetadataDevice(metadata)

    def load() -> Pool:
        return Pool(
            table.features,
            table.block_size,
            None,  # the first resume grows it: until then nobody knows that the data device has so much
            store,
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
    return ActivePool(engine, data, store, run)

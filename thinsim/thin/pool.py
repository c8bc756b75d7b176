"""`Pool` is a thin pool: it has devices, data space and a running transaction.

It behaves as dm-thin.c. The pool does no I/O on the data device: an executor carries out the plans of its
devices. The pool itself reads and writes the metadata, on a store of 4 KiB blocks.
"""

import errno
from collections.abc import Callable
from contextlib import suppress

from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.ids import ThinId, check_thin_id
from thinsim.thin.mapping import Run, join
from thinsim.thin.metadata.blocks import CACHE_BLOCKS
from thinsim.thin.metadata.check import Checker
from thinsim.thin.metadata.metadata_snapshot import release_snapshot, reserve_snapshot
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.metadata.store import MAX_METADATA_BLOCKS, MetadataStore
from thinsim.thin.modes import PoolMode
from thinsim.thin.settings import PoolSettings
from thinsim.thin.status import PoolStatus
from thinsim.thin.table import PoolFeatures
from thinsim.thin.transaction import Transaction
from thinsim.units import Sectors

_MAX_LOW_WATERMARK = 1024


class Pool:
    """A `Pool` opens the metadata on *store*, and formats a store of zeros.

    *block_size* is in sectors. The parser of pool tables checks the kernel's range (128 to 2097152,
    multiples of 128); the engine takes any size. *data_blocks* is the size of the data device; None keeps
    the size in the metadata. *data_can_discard* is True if the data device takes discards of one block.
    *flush_data* makes earlier writes to the data device durable. The executor commits after growth. The
    open devices share the pool's *transaction*.

    Raises DeviceMapperError: EINVAL when the metadata has another block size, unknown features or more
    blocks than the devices; EPERM when the features are read_only and the store is not formatted; EIO when
    growth can't read or write the metadata. Raises MetadataDamagedError, NoMetadataSpaceError and
    ``OSError`` as PoolMetadata does.
    """

    def __init__(
        self,
        features: PoolFeatures,
        block_size: Sectors,
        data_blocks: int | None,
        store: MetadataStore,
        *,
        low_water_blocks: int = 0,
        data_can_discard: bool = True,
        flush_data: Callable[[], None] = lambda: None,
        cache_blocks: int = CACHE_BLOCKS,
    ) -> None:
        self.metadata = PoolMetadata(
            store, block_size, may_format=not features.read_only, cache_blocks=cache_blocks
        )
        self.metadata.transaction.before_commit = flush_data
        self.transaction = Transaction(self.metadata)
        self.modes = self.transaction.modes
        self._settings = PoolSettings(block_size)
        self._store = store
        self.watch_metadata()
        self.bind(features, low_water_blocks, data_can_discard)
        if data_blocks is not None:
            self.grow(data_blocks)

    def bind(
        self,
        features: PoolFeatures,
        low_water_blocks: int,
        data_can_discard: bool = True,
        *,
        loaded: bool = True,
    ) -> None:
        """Apply the features of a table; a newly *loaded* table may change the mode (bind_control_target)."""
        self._settings.bind(features, data_can_discard)
        self.modes.bind(features, low_water_blocks, loaded=loaded)

    def watch_metadata(self) -> None:
        """Register the event for few free metadata blocks (dm_pool_register_metadata_threshold).

        Call it when a table was loaded. Raises EINVAL when the metadata has failed.
        """
        if self.metadata.transaction.failed:
            raise DeviceMapperError(errno.EINVAL, "Error registering metadata threshold")
        self.metadata.space.low_water_blocks = self._metadata_low_watermark()
        self.metadata.space.low_water = self.modes.note_low_metadata

    def resume(self) -> None:
        """Resume the pool device: the low water mark can trigger again (dm-thin.c, pool_resume)."""
        self.modes.resume()

    def grow(self, data_blocks: int) -> None:
        """Extend the pool to the present sizes of both devices (maybe_resize_data_dev, _metadata_dev).

        The executor commits afterwards. Raises EINVAL when a device is smaller than the metadata requires.
        A pool that needs a check does not grow. Growth of a read-only pool is visible but never committed.
        """
        self._grow_one("pool target", data_blocks, self.metadata.data.nr_blocks, self.metadata.extend_data)
        space, blocks = self.metadata.space, self.metadata_device_blocks
        out_of_metadata = self.mode is PoolMode.OUT_OF_METADATA_SPACE
        if out_of_metadata and blocks > space.nr_blocks and not self.modes.needs_check:
            self.modes.switch(PoolMode.WRITE)
        self._grow_one("metadata device", blocks, space.nr_blocks, self.metadata.extend_metadata)

    def _grow_one(self, what: str, blocks: int, known: int, extend: Callable[[int], None]) -> None:
        if blocks < known:
            raise DeviceMapperError(errno.EINVAL, f"{what} ({blocks} blocks) too small: expected {known}")
        if blocks > known and not self.modes.needs_check:
            with self.transaction.changing("growth", ends_bio=False):
                extend(blocks)

    def commit(self) -> None:
        """Commit the running transaction; raises EINVAL and EIO as ``Transaction.commit``."""
        self.transaction.commit()

    # The operations of pool messages (see ``messages``).

    def create_thin(self, thin_id: int) -> None:
        """Create an empty device; EEXIST if the thin id is in use."""
        self.metadata.create_thin(check_thin_id(thin_id))

    def create_snap(self, thin_id: int, origin: int) -> None:
        """Create *thin_id* with the mappings of *origin*; the caller suspends an active *origin* first.

        Raises EEXIST if *thin_id* is in use, then ENODATA if *origin* does not exist.
        """
        self.metadata.create_snap(check_thin_id(thin_id), check_thin_id(origin))

    def delete(self, thin_id: int) -> None:
        """Delete a device and its mappings, without passdown; ENODATA if unknown, then EBUSY if open."""
        self.metadata.delete(check_thin_id(thin_id))

    def set_transaction_id(self, current: int, new: int) -> None:
        """Set the user's transaction id to *new*; EINVAL if *current* is not the present one."""
        self.metadata.set_transaction_id(current, new)

    def reserve_metadata_snap(self) -> None:
        """Commit, then reserve a metadata snapshot: it keeps the present mappings and their blocks.

        Raises EBUSY when a metadata snapshot is already held. An error of the commit is not raised; but
        raises EPERM when the metadata is read-only after it, and EINVAL when the pool has failed.
        """
        with suppress(DeviceMapperError):
            self.commit()
        if self.mode > PoolMode.OUT_OF_DATA_SPACE and not self.metadata.superblock.held_root:
            number = errno.EINVAL if self.mode is PoolMode.FAIL else errno.EPERM
            raise DeviceMapperError(number, "the metadata can't be written any more")
        reserve_snapshot(self.metadata.transaction)

    def release_metadata_snap(self) -> None:
        """Release the metadata snapshot and its blocks; EINVAL when none is held."""
        release_snapshot(self.metadata.transaction)

    # Devices.

    def open_thin(self, thin_id: int, length: Sectors, origin_bytes: int | None = None) -> ThinDevice:
        """Open a device with the *length* of its table; ENODATA when unknown, EINVAL in fail mode.

        *origin_bytes* is the size of its external origin, or None without one.
        """
        if self.mode is PoolMode.FAIL:
            raise DeviceMapperError(errno.EINVAL, "Couldn't open thin device, Pool is in fail mode")
        known = check_thin_id(thin_id)
        with self.transaction.looking():
            record = self.metadata.open_thin(known)
        return ThinDevice(self.transaction, self._settings, record, length, origin_bytes)

    def close_thin(self, device: ThinDevice) -> None:
        """Close a device that ``open_thin`` returned; call it once per open."""
        self.metadata.close_thin(device.record)

    def thin_ids(self) -> list[ThinId]:
        """Return the ids of all devices, ascending; EIO when the metadata can't be read."""
        with self.transaction.looking():
            return self.metadata.thin_ids()

    def mappings(self, thin_id: int) -> list[Run]:
        """Return the mappings of a device, ascending; ENODATA when unknown, EIO when they can't be read."""
        known = check_thin_id(thin_id)
        with self.transaction.looking():
            self.metadata.details(known)
            return list(join(self.metadata.entries(known)))

    def check(self) -> list[str]:
        """Check the metadata and return one line per problem, or an empty list for a sound pool.

        References held by requests in flight count as uses. A block that a failed write left allocated
        is reported as leaked.
        """
        return [problem.text for problem in Checker(self.metadata).check(self.transaction.in_flight.count)]

    # Status.

    @property
    def block_size(self) -> Sectors:
        """Return the size of a data block, in sectors."""
        return self._settings.block_size

    @property
    def features(self) -> PoolFeatures:
        """Return the features of the table that was bound last."""
        return self._settings.features

    @property
    def passes_down(self) -> bool:
        """Return whether discards are passed down to the data device."""
        return self._settings.passes_down

    @property
    def mode(self) -> PoolMode:
        """Return the pool's mode."""
        return self.modes.mode

    @property
    def changed(self) -> bool:
        """Return whether a commit would change anything, see ``Transaction.changed``."""
        return self.transaction.changed

    @property
    def event_nr(self) -> int:
        """Return the number of events so far: low water marks, mode changes, no-space timeouts."""
        return self.modes.event_nr

    @property
    def metadata_device_blocks(self) -> int:
        """Return the usable blocks of the metadata device; the format limits their number."""
        return min(self._store.blocks, MAX_METADATA_BLOCKS)

    def no_space_timeout(self) -> None:
        """Make writes that wait for space fail with ENOSPC from now on (do_no_space_timeout)."""
        self.modes.no_space_timeout()

    def blocks_used(self) -> int:
        """Return the number of data blocks in use, including those of the running transaction."""
        return self.metadata.data.nr_allocated

    def status(self) -> PoolStatus:
        """Return the numbers of ``dmsetup status``, without the commit that the kernel does first."""
        metadata = self.metadata
        return PoolStatus(
            transaction_id=metadata.superblock.transaction_id,
            used_metadata=metadata.transaction.used_blocks,
            total_metadata=metadata.space.nr_blocks,
            used_data=metadata.data.nr_allocated,
            total_data=metadata.data.nr_blocks,
            held_root=metadata.superblock.held_root or None,
            mode=self.mode.word,
            discard=self._settings.discard_word,
            no_space="error_if_no_space" if self.modes.error_if_no_space else "queue_if_no_space",
            needs_check=self.modes.needs_check,
            metadata_low_watermark=self._metadata_low_watermark(),
        )

    def _metadata_low_watermark(self) -> int:
        return min(_MAX_LOW_WATERMARK, self.metadata_device_blocks // 4)

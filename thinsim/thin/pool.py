"""A thin pool has devices, data space and a running transaction.

Behaviour of dm-thin.c. The pool does no I/O on the data device: an executor carries out the plans of its
devices. The metadata it reads and writes itself, on a store of 4 KiB blocks.
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
    """A pool in service.

    *store* is the metadata device; one of zeros is formatted. *block_size* is in sectors; the kernel's
    range of it (128 to 2097152, multiples of 128) is checked where a table is read, the engine takes any.
    *data_blocks* is the data device's size, None leaves it as the metadata has it; *data_can_discard*
    whether it takes discards of a block at least, *flush_data* makes durable what was written to it. The
    executor commits what has grown. The open devices share the pool's *transaction*.

    DeviceMapperError: EINVAL: the metadata has another block size, unknown features, or more blocks than
    the devices. EPERM: read_only and fresh. EIO: metadata that can't be read or written for growth.
    MetadataDamagedError, NoMetadataSpaceError, ``OSError`` as PoolMetadata.
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
        """Take the features of a table; a newly *loaded* one may change the mode (bind_control_target)."""
        self._settings.bind(features, data_can_discard)
        self.modes.bind(features, low_water_blocks, loaded=loaded)

    def watch_metadata(self) -> None:
        """A table was loaded: few metadata blocks are an event (dm_pool_register_metadata_threshold).

        EINVAL when the metadata has failed.
        """
        if self.metadata.transaction.failed:
            raise DeviceMapperError(errno.EINVAL, "Error registering metadata threshold")
        self.metadata.space.low_water_blocks = self._metadata_low_watermark()
        self.metadata.space.low_water = self.modes.note_low_metadata

    def resume(self) -> None:
        """The pool device resumes: the low water mark can trigger again (dm-thin.c, pool_resume)."""
        self.modes.resume()

    def grow(self, data_blocks: int) -> None:
        """Take the devices' present sizes; the executor commits (maybe_resize_data_dev, _metadata_dev).

        EINVAL when a device has less than the metadata says. Nothing grows while a check is needed. What
        grows in a read-only pool shows, and is never committed.
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
        """Commit the running transaction, see ``Transaction.commit``. EINVAL, EIO."""
        self.transaction.commit()

    # What is asked by messages (see ``messages``).

    def create_thin(self, thin_id: int) -> None:
        """Create an empty device; EEXIST."""
        self.metadata.create_thin(check_thin_id(thin_id))

    def create_snap(self, thin_id: int, origin: int) -> None:
        """Create *thin_id* with the mappings of *origin* (suspended if active). EEXIST, then ENODATA."""
        self.metadata.create_snap(check_thin_id(thin_id), check_thin_id(origin))

    def delete(self, thin_id: int) -> None:
        """Remove a device and its mappings; nothing is passed down. ENODATA, then EBUSY while it is open."""
        self.metadata.delete(check_thin_id(thin_id))

    def set_transaction_id(self, current: int, new: int) -> None:
        """Set the user's transaction id; EINVAL when *current* isn't the present one."""
        self.metadata.set_transaction_id(current, new)

    def reserve_metadata_snap(self) -> None:
        """Commit and keep the mappings as they are then, with their blocks, until released.

        EBUSY when some are kept already. That commit's own error is not returned, but EPERM when the
        metadata is read-only after it, EINVAL when the pool has failed.
        """
        with suppress(DeviceMapperError):
            self.commit()
        if self.mode > PoolMode.OUT_OF_DATA_SPACE and not self.metadata.superblock.held_root:
            number = errno.EINVAL if self.mode is PoolMode.FAIL else errno.EPERM
            raise DeviceMapperError(number, "the metadata can't be written any more")
        reserve_snapshot(self.metadata.transaction)

    def release_metadata_snap(self) -> None:
        """Let the metadata snapshot and its blocks go; EINVAL when none is held."""
        release_snapshot(self.metadata.transaction)

    # Devices.

    def open_thin(self, thin_id: int, length: Sectors, origin_bytes: int | None = None) -> ThinDevice:
        """Open a device with the *length* of a table; ENODATA when unknown, EINVAL in fail mode.

        *origin_bytes* is the size of its external origin, None without one.
        """
        if self.mode is PoolMode.FAIL:
            raise DeviceMapperError(errno.EINVAL, "Couldn't open thin device, Pool is in fail mode")
        known = check_thin_id(thin_id)
        with self.transaction.looking():
            record = self.metadata.open_thin(known)
        return ThinDevice(self.transaction, self._settings, record, length, origin_bytes)

    def close_thin(self, device: ThinDevice) -> None:
        """Close what ``open_thin`` returned, once."""
        self.metadata.close_thin(device.record)

    def thin_ids(self) -> list[ThinId]:
        """Return the ids of all devices, ascending; EIO when the metadata can't be read."""
        with self.transaction.looking():
            return self.metadata.thin_ids()

    def mappings(self, thin_id: int) -> list[Run]:
        """Return the mappings of a device, ascending; ENODATA when unknown, EIO."""
        known = check_thin_id(thin_id)
        with self.transaction.looking():
            self.metadata.details(known)
            return list(join(self.metadata.entries(known)))

    def check(self) -> list[str]:
        """Return what is wrong with the metadata, one line a problem; an empty list for a sound pool.

        References of requests in flight count as uses. A block that a failed write left allocated
        is reported as leaked.
        """
        return [problem.text for problem in Checker(self.metadata).check(self.transaction.in_flight.count)]

    # What is shown.

    @property
    def block_size(self) -> Sectors:
        """Sectors of a data block."""
        return self._settings.block_size

    @property
    def features(self) -> PoolFeatures:
        """The features of the table that was bound last."""
        return self._settings.features

    @property
    def passes_down(self) -> bool:
        """Whether discards go down to the data device."""
        return self._settings.passes_down

    @property
    def mode(self) -> PoolMode:
        """The pool's mode."""
        return self.modes.mode

    @property
    def changed(self) -> bool:
        """Whether a commit would change anything, see ``Transaction.changed``."""
        return self.transaction.changed

    @property
    def event_nr(self) -> int:
        """Events so far: low water marks, mode changes, no-space timeout."""
        return self.modes.event_nr

    @property
    def metadata_device_blocks(self) -> int:
        """Blocks of the metadata device that can be used."""
        return min(self._store.blocks, MAX_METADATA_BLOCKS)

    def no_space_timeout(self) -> None:
        """Writes have waited long enough: from now on they fail with ENOSPC (do_no_space_timeout)."""
        self.modes.no_space_timeout()

    def blocks_used(self) -> int:
        """Return the data blocks in use, those of the running transaction included."""
        return self.metadata.data.nr_allocated

    def status(self) -> PoolStatus:
        """Return what ``dmsetup status`` shows (without its commit)."""
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

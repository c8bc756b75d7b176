"""A thin pool: its devices, its space, its transaction.

Behaviour of dm-thin.c and dm-thin-metadata.c. The pool does no I/O: an executor carries out the plans
of its devices and writes what ``begin_commit`` returns.
"""

import errno

from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.ids import ThinId, check_thin_id
from thinsim.thin.mapping import MAX_TIME, Mappings, Run
from thinsim.thin.messages import dispatch
from thinsim.thin.metadata.image import MAX_METADATA_BLOCKS, METADATA_BLOCK_SIZE, decode
from thinsim.thin.modes import PoolMode
from thinsim.thin.records import DeviceRecord
from thinsim.thin.state import DeviceState, HeldSnapshot, PoolState
from thinsim.thin.status import PoolStatus
from thinsim.thin.table import PoolFeatures, PoolTable
from thinsim.thin.transaction import Transaction
from thinsim.units import Sectors


class Pool(Transaction):
    """A pool in service.

    *block_size* is in sectors; the kernel's range of it (128 to 2097152, multiples of 128) is checked
    where a table is read, the engine takes any. *data_blocks* and *metadata_blocks* (4 KiB) are the
    devices' sizes; *state* is what was saved, None formats a fresh pool. *data_can_discard*: the data
    device takes discards of a block at least.

    EINVAL: the state has another block size, or more blocks than the device. EPERM: read_only and fresh.
    """

    def __init__(
        self,
        features: PoolFeatures,
        block_size: Sectors,
        data_blocks: int,
        low_water_blocks: int = 0,
        metadata_blocks: int = 1024,
        state: PoolState | None = None,
        data_can_discard: bool = True,
    ) -> None:
        if state is None and features.read_only:
            raise DeviceMapperError(
                errno.EPERM, "Error creating metadata object: a read-only pool can't be formatted"
            )
        if state is not None and state.block_size != block_size:
            raise DeviceMapperError(
                errno.EINVAL,
                f"changing the data block size (from {state.block_size} to {block_size}) is not supported",
            )
        super().__init__(state or PoolState(block_size), fresh=state is None)
        self.metadata_blocks = metadata_blocks
        self.bind(features, low_water_blocks, data_can_discard)
        self.grow_data(data_blocks)

    @classmethod
    def activate(
        cls, table: PoolTable, image: bytes | None, *, metadata_bytes: int, data_can_discard: bool = True
    ) -> "Pool":
        """Return the pool of *table* from its saved *image*, None for a fresh metadata device.

        MetadataDamagedError, and the errors of the pool itself.
        """
        return cls(
            table.features,
            table.block_size,
            table.length // table.block_size,
            table.low_water_blocks,
            min(metadata_bytes // METADATA_BLOCK_SIZE, MAX_METADATA_BLOCKS),
            None if image is None else decode(image),
            data_can_discard,
        )

    def bind(self, features: PoolFeatures, low_water_blocks: int, data_can_discard: bool = True) -> None:
        """Take the features of a newly loaded table; may change the mode (dm-thin.c, bind_control_target)."""
        self.features = features
        self.passes_down = data_can_discard and not (features.no_discard_passdown or features.ignore_discard)
        self.modes.bind(features, low_water_blocks)

    def resume(self) -> None:
        """The pool device resumes: the low water mark can trigger again (dm-thin.c, pool_resume)."""
        self.modes.resume(self.features)

    def grow_data(self, blocks: int) -> None:
        """The data device has *blocks* now; EINVAL when that is less. Ignored while the pool is read-only."""
        if blocks < self.space.nr_blocks:
            raise DeviceMapperError(
                errno.EINVAL, f"pool target ({blocks} blocks) too small: expected {self.space.nr_blocks}"
            )
        if blocks > self.space.nr_blocks and self.mode <= PoolMode.OUT_OF_DATA_SPACE:
            self.space.grow(blocks)
            self.note_change()

    # What is asked by messages.

    def message(self, text: str) -> None:
        """Carry out a message (see ``messages.dispatch``); the executor commits afterwards."""
        dispatch(self, text)

    def create_thin(self, thin_id: int) -> None:
        """Create an empty device; EEXIST."""
        new = self._new_id(thin_id)
        self._add(new, DeviceState(Mappings(), self.transaction_id, self.time, self.time))

    def create_snap(self, thin_id: int, origin: int) -> None:
        """Create *thin_id* with the mappings of *origin* (suspended if active). EEXIST, then ENODATA."""
        new = self._new_id(thin_id)
        source = self._known(check_thin_id(origin))
        if self.time == MAX_TIME:
            raise DeviceMapperError(errno.EINVAL, f"the pool has seen its {MAX_TIME} snapshots")
        self.time += 1
        source.state.snapshotted_time = self.time
        self.note_change(source)
        mappings = source.state.mappings.copy()
        for block in mappings.data_blocks():
            self.space.increment(block)
        self._add(new, DeviceState(mappings, self.transaction_id, self.time, self.time))

    def delete(self, thin_id: int) -> None:
        """Remove a device and its mappings; nothing is passed down. ENODATA, then EBUSY while it is open."""
        known = check_thin_id(thin_id)
        record = self._known(known)
        if record.open_count:
            raise DeviceMapperError(errno.EBUSY, f"thin {thin_id} is open")
        for block in record.state.mappings.data_blocks():
            self.space.decrement(block)
        del self.records[known]
        self.note_change()

    def set_transaction_id(self, current: int, new: int) -> None:
        """Set the user's transaction id; EINVAL when *current* isn't the present one."""
        if current != self.transaction_id:
            raise DeviceMapperError(errno.EINVAL, f"transaction id is {self.transaction_id}, not {current}")
        self.transaction_id = new
        self.note_change()

    def reserve_metadata_snap(self) -> None:
        """Keep the mappings as they are now, and their blocks, until released; EBUSY when one is held."""
        if self.held is not None:
            raise DeviceMapperError(errno.EBUSY, f"metadata snapshot already held at block {self.held.root}")
        devices = {int(thin_id): record.state.copy() for thin_id, record in self.records.items()}
        for device in devices.values():
            for block in device.mappings.data_blocks():
                self.space.increment(block)
        self.held = HeldSnapshot(self._used_metadata(), devices)
        self.note_change()

    def release_metadata_snap(self) -> None:
        """Let the metadata snapshot and its blocks go; EINVAL when none is held."""
        if self.held is None:
            raise DeviceMapperError(errno.EINVAL, "no metadata snapshot is held")
        for device in self.held.devices.values():
            for block in device.mappings.data_blocks():
                self.space.decrement(block)
        self.held = None
        self.note_change()

    # Devices.

    def open_thin(self, thin_id: int, length: Sectors, origin_dev: str | None = None) -> ThinDevice:
        """Open a device with the *length* of a table; ENODATA when unknown, EINVAL in fail mode."""
        if origin_dev is not None:
            raise DeviceMapperError(errno.EINVAL, f"external origins are not served yet: {origin_dev}")
        if self.mode is PoolMode.FAIL:
            raise DeviceMapperError(errno.EINVAL, "Couldn't open thin device, Pool is in fail mode")
        known = check_thin_id(thin_id)
        self._known(known).open_count += 1
        return ThinDevice(self, known, length)

    def close_thin(self, device: ThinDevice) -> None:
        """Close what ``open_thin`` returned, once."""
        record = self.find_record(device.thin_id)
        if record is None:
            return
        if not record.open_count:
            raise AssertionError(f"thin {device.thin_id} is not open")
        record.open_count -= 1
        if not record.open_count:
            record.lost_changes = False

    def thin_ids(self) -> list[ThinId]:
        """Return the ids of all devices, ascending."""
        return sorted(self.records)

    def mappings(self, thin_id: int) -> list[Run]:
        """Return the mappings of a device, ascending; ENODATA when unknown."""
        return list(self._known(check_thin_id(thin_id)).state.mappings.runs())

    # What is shown.

    @property
    def event_nr(self) -> int:
        """Events so far: low water mark, mode changes, no-space timeout."""
        return self.modes.event_nr

    @property
    def has_space(self) -> bool:
        """Whether a write that waits for space should be tried again, be it to fail in a read-only pool."""
        if self.mode is PoolMode.WRITE:
            return self.space.nr_available > 0
        return self.mode is not PoolMode.OUT_OF_DATA_SPACE

    def no_space_timeout(self) -> None:
        """Writes have waited long enough: from now on they fail with ENOSPC (do_no_space_timeout)."""
        self.modes.no_space_timeout()

    def blocks_used(self) -> int:
        """Return the data blocks in use, those of the running transaction included."""
        return self.space.nr_allocated

    def status(self) -> PoolStatus:
        """Return what ``dmsetup status`` shows (without its commit).

        Used metadata is the size of the form last saved, one block of headers included, not the
        kernel's number: its btrees have another size, and it counts a reserve as used.
        """
        if self.features.ignore_discard:
            discard = "ignore_discard"
        else:
            discard = "discard_passdown" if self.passes_down else "no_discard_passdown"
        return PoolStatus(
            transaction_id=self.transaction_id,
            used_metadata=self._used_metadata(),
            total_metadata=self.metadata_blocks,
            used_data=self.blocks_used(),
            total_data=self.committed_blocks,
            held_root=None if self.held is None else self.held.root,
            mode=self.mode.word,
            discard=discard,
            no_space="error_if_no_space" if self.modes.error_if_no_space else "queue_if_no_space",
            needs_check=self.modes.needs_check,
            metadata_low_watermark=min(1024, self.metadata_blocks // 4),
        )

    def _used_metadata(self) -> int:
        return 1 - (-len(self.committed_image) // METADATA_BLOCK_SIZE)

    def _known(self, thin_id: ThinId) -> DeviceRecord:
        record = self.records.get(thin_id)
        if record is None:
            raise DeviceMapperError(errno.ENODATA, f"the pool has no thin {thin_id}")
        return record

    def _new_id(self, thin_id: int) -> ThinId:
        new = check_thin_id(thin_id)
        if new in self.records:
            raise DeviceMapperError(errno.EEXIST, f"thin {thin_id} exists")
        return new

    def _add(self, thin_id: ThinId, state: DeviceState) -> None:
        record = DeviceRecord(state)
        self.records[thin_id] = record
        self.note_change(record)

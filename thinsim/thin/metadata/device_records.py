"""`DeviceRecords` keeps the numbers of devices that are open or have changed (dm-thin-metadata.c)."""

from collections.abc import Iterator

from thinsim.thin.ids import ThinId
from thinsim.thin.metadata.details import ThinRecord


class DeviceRecords:
    """A `DeviceRecords` has a record per open device and per device changed in the running transaction."""

    def __init__(self) -> None:
        self._records: dict[ThinId, ThinRecord] = {}

    def __iter__(self) -> Iterator[ThinRecord]:
        return iter(self._records.values())

    def get(self, thin_id: ThinId) -> ThinRecord | None:
        """Return the record of *thin_id*, or None if the device is neither open nor changed."""
        return self._records.get(thin_id)

    def add(self, record: ThinRecord) -> ThinRecord:
        """Add *record* and return it."""
        self._records[record.thin_id] = record
        return record

    def drop(self, thin_id: ThinId) -> None:
        """Remove the record of *thin_id*; KeyError if there is none."""
        del self._records[thin_id]

    def lose_changes(self) -> None:
        """Mark each changed device as having lost its changes, because the transaction was aborted."""
        for record in self._records.values():
            record.lost_changes |= record.changed
            record.changed = False

    def newest_first(self) -> list[ThinRecord]:
        """Return the records in the order of the kernel's list: the last added first."""
        return list(reversed(self._records.values()))

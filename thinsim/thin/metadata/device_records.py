"""DeviceRecords keeps the numbers of the devices that are open or have changed (dm-thin-metadata.c)."""

from collections.abc import Iterator

from thinsim.thin.ids import ThinId
from thinsim.thin.metadata.details import ThinRecord


class DeviceRecords:
    """The record of each device that is open, or has changed in the running transaction, by thin id."""

    def __init__(self) -> None:
        self._records: dict[ThinId, ThinRecord] = {}

    def __iter__(self) -> Iterator[ThinRecord]:
        return iter(self._records.values())

    def get(self, thin_id: ThinId) -> ThinRecord | None:
        """Return the record of *thin_id*, None when it is neither open nor changed."""
        return self._records.get(thin_id)

    def add(self, record: ThinRecord) -> ThinRecord:
        """Keep *record*, and return it."""
        self._records[record.thin_id] = record
        return record

    def drop(self, thin_id: ThinId) -> None:
        """Forget *thin_id*, which must have a record."""
        del self._records[thin_id]

    def lose_changes(self) -> None:
        """Note that the transaction was aborted: what a device had changed in it is lost."""
        for record in self._records.values():
            record.lost_changes |= record.changed
            record.changed = False

    def newest_first(self) -> list[ThinRecord]:
        """Return the records, that of the device that came last first, as in the kernel's list."""
        return list(reversed(self._records.values()))

"""`DeviceMappings` looks up and changes the mappings of one open device in the running transaction."""

from thinsim.thin.mapping import Run, join
from thinsim.thin.metadata.details import ThinRecord
from thinsim.thin.transaction import Transaction


class DeviceMappings:
    """A `DeviceMappings` belongs to the device of *record*; *block* is the size of a data block in bytes.

    Each method raises EIO when the metadata can't be read. A change that fails raises EIO and aborts the
    transaction.
    """

    def __init__(self, transaction: Transaction, record: ThinRecord, block: int) -> None:
        self.transaction = transaction
        self.record = record
        self.block = block

    def find(self, offset: int, length: int) -> dict[int, int]:
        """Return the packed mappings of the blocks that a byte range touches, by virtual block."""
        begin, end = offset // self.block, -(-(offset + length) // self.block)
        metadata = self.transaction.metadata
        with self.transaction.looking():
            if end - begin == 1:
                packed = metadata.find(self.record.thin_id, begin)
                return {} if packed is None else {begin: packed}
            return dict(metadata.entries(self.record.thin_id, begin, end))

    def runs(self, begin: int, end: int) -> list[Run]:
        """Return the runs mapped from virtual block *begin* to before *end*, ascending."""
        with self.transaction.looking():
            return list(join(self.transaction.metadata.entries(self.record.thin_id, begin, end)))

    def insert(self, blocks: list[tuple[int, int]]) -> None:
        """Map (virtual block, data block) pairs; the data blocks are no longer in flight."""
        transaction = self.transaction
        with transaction.changing("insertion of a mapping"):
            for vblock, data_block in blocks:
                transaction.metadata.insert(self.record, vblock, data_block)
        transaction.in_flight.remove(data_block for _, data_block in blocks)

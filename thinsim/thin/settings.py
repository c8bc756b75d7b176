"""`PoolSettings` holds the features of a pool's table and whether the data device supports passdown."""

from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors


class PoolSettings:
    """A `PoolSettings` holds a pool's block size in sectors, its features and its treatment of discards.

    *features* and *passes_down* change with each table that is bound; the pool's devices read them here.
    """

    def __init__(self, block_size: Sectors) -> None:
        self.block_size = block_size
        self.features = PoolFeatures()
        self.passes_down = False
        """True if discards are passed down to the data device."""

    def bind(self, features: PoolFeatures, data_can_discard: bool) -> None:
        """Apply the *features* of a table; without *data_can_discard*, no discard is passed down.

        *data_can_discard* is True if the data device takes discards of one block
        (disable_passdown_if_not_supported).
        """
        self.features = features
        self.passes_down = data_can_discard and not (features.no_discard_passdown or features.ignore_discard)

    @property
    def discard_word(self) -> str:
        """Return the status line's word for discards."""
        if self.features.ignore_discard:
            return "ignore_discard"
        return "discard_passdown" if self.passes_down else "no_discard_passdown"

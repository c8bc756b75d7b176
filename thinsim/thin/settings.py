"""PoolSettings holds what a pool's table asks for at present, and whether the data device can do it."""

from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors


class PoolSettings:
    """The block size of a pool, in sectors, its features and what these make of a discard.

    *features* and *passes_down* change with every table that is bound; the pool's devices look at them here.
    """

    def __init__(self, block_size: Sectors) -> None:
        self.block_size = block_size
        self.features = PoolFeatures()
        self.passes_down = False
        """Whether discards go down to the data device."""

    def bind(self, features: PoolFeatures, data_can_discard: bool) -> None:
        """Take *features* of a table; *data_can_discard*: the data device takes discards of a block at least.

        Where it doesn't, no discard goes down (disable_passdown_if_not_supported).
        """
        self.features = features
        self.passes_down = data_can_discard and not (features.no_discard_passdown or features.ignore_discard)

    @property
    def discard_word(self) -> str:
        """The word about discards in the status line."""
        if self.features.ignore_discard:
            return "ignore_discard"
        return "discard_passdown" if self.passes_down else "no_discard_passdown"

"""RemappingBlocks notes which virtual blocks get another data block when a write ends."""

from collections.abc import Iterable

from thinsim.thin.ids import ThinId


class RemappingBlocks:
    """The virtual blocks of each device with a remapping write outstanding, of one pool."""

    def __init__(self) -> None:
        self._outstanding: dict[ThinId, set[int]] = {}

    def begin(self, thin_id: ThinId, vblocks: Iterable[int]) -> None:
        """Note that a write is to remap *vblocks* of *thin_id*."""
        self._outstanding.setdefault(thin_id, set()).update(vblocks)

    def end(self, thin_id: ThinId, vblocks: Iterable[int]) -> None:
        """Note that the write of *vblocks* ended, well or not."""
        outstanding = self._outstanding.pop(thin_id, set())
        outstanding.difference_update(vblocks)
        if outstanding:
            self._outstanding[thin_id] = outstanding

    def check_none(self, thin_id: ThinId, vblocks: range) -> None:
        """Raise AssertionError if a write is to remap one of *vblocks* already: the executor's mistake."""
        outstanding = self._outstanding.get(thin_id)
        both = outstanding.intersection(vblocks) if outstanding else None
        if both:
            raise AssertionError(
                f"thin {thin_id}: block {min(both)} already has a remapping write outstanding"
            )

"""`RemappingBlocks` records the virtual blocks that outstanding writes will remap to new data blocks."""

from collections.abc import Iterable

from thinsim.thin.ids import ThinId


class RemappingBlocks:
    """A `RemappingBlocks` belongs to one pool and has a set of virtual blocks per thin id."""

    def __init__(self) -> None:
        self._outstanding: dict[ThinId, set[int]] = {}

    def begin(self, thin_id: ThinId, vblocks: Iterable[int]) -> None:
        """Record that an outstanding write will remap *vblocks* of *thin_id*."""
        self._outstanding.setdefault(thin_id, set()).update(vblocks)

    def end(self, thin_id: ThinId, vblocks: Iterable[int]) -> None:
        """Record that the write of *vblocks* ended, whether it succeeded or failed."""
        outstanding = self._outstanding.pop(thin_id, set())
        outstanding.difference_update(vblocks)
        if outstanding:
            self._outstanding[thin_id] = outstanding

    def check_none(self, thin_id: ThinId, vblocks: range) -> None:
        """Raise AssertionError if a write already remaps one of *vblocks*: the executor must prevent that."""
        outstanding = self._outstanding.get(thin_id)
        both = outstanding.intersection(vblocks) if outstanding else None
        if both:
            raise AssertionError(
                f"thin {thin_id}: block {min(both)} already has a remapping write outstanding"
            )

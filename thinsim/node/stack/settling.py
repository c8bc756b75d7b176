"""`settled` completes a height with facts that only the heights below it have. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from thinsim.node.stack.height import HeightKind, StackHeight
from thinsim.units import format_size


def settled(height: StackHeight, below: Sequence[StackHeight]) -> StackHeight:
    """Return *height* with its unit, its shortest discard and the obstacles that *below* causes."""
    match height.kind:
        case HeightKind.THIN:
            return _thin(height, below)
        case HeightKind.THIN_POOL:
            return _pool(height, below)
        case HeightKind.FILE | HeightKind.IMAGE | HeightKind.STORE:
            return replace(height, unit=max((each.unit for each in below), default=1))
        case HeightKind.FILE_SYSTEM:
            granules = [each.limits.granularity for each in below if each.limits is not None]
            return replace(height, shortest=max(granules, default=0))
        case HeightKind.DISK if height.limits is not None:
            return replace(height, unit=max(height.limits.granularity, 1))
    return height


def _thin(height: StackHeight, below: Sequence[StackHeight]) -> StackHeight:
    pool = next((each for each in below if each.kind is HeightKind.THIN_POOL), None)
    if pool is None:
        return height
    height = replace(height, unit=pool.pool_block or 1)
    if not height.passes and "ignore_discard" in pool.options:
        return replace(height, reason=pool.reason)
    return height


def _pool(height: StackHeight, below: Sequence[StackHeight]) -> StackHeight:
    data = next((each for each in below if each.limits is not None), None)
    if data is None or data.limits is None or height.pool_block is None or "no_discard" in height.reason:
        return height
    most = data.limits.max_bytes
    if most == 0:
        return _stopped(height, f"its data device {data.name} takes no discards")
    if most < height.pool_block:
        size = format_size(most)
        return _stopped(height, f"a discard of its data device has at most {size}, less than a data block")
    return height


def _stopped(height: StackHeight, reason: str) -> StackHeight:
    return replace(height, passes=False, reason=reason)

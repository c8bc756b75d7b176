"""`settled` completes a height with facts that only the heights below it have. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from thinsim.node.stack.height import Height, Kind
from thinsim.units import format_size


def settled(height: Height, below: Sequence[Height]) -> Height:
    """Return *height* with its unit, its shortest discard and the obstacles that *below* causes."""
    match height.kind:
        case Kind.THIN:
            return _thin(height, below)
        case Kind.THIN_POOL:
            return _pool(height, below)
        case Kind.FILE | Kind.IMAGE | Kind.STORE:
            return replace(height, unit=max((each.unit for each in below), default=1))
        case Kind.FILE_SYSTEM:
            granules = [each.limits.granularity for each in below if each.limits is not None]
            return replace(height, shortest=max(granules, default=0))
        case Kind.DISK if height.limits is not None:
            return replace(height, unit=max(height.limits.granularity, 1))
    return height


def _thin(height: Height, below: Sequence[Height]) -> Height:
    pool = next((each for each in below if each.kind is Kind.THIN_POOL), None)
    if pool is None:
        return height
    height = replace(height, unit=pool.pool_block or 1)
    if not height.passes and "ignore_discard" in pool.options:
        return replace(height, reason=pool.reason)
    return height


def _pool(height: Height, below: Sequence[Height]) -> Height:
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


def _stopped(height: Height, reason: str) -> Height:
    return replace(height, passes=False, reason=reason)

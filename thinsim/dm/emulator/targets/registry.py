"""`TARGET_TYPES` lists the target types that a table may name: a new type is a file and a line here."""

from thinsim.dm.emulator.targets.error import ERROR
from thinsim.dm.emulator.targets.linear import LINEAR
from thinsim.dm.emulator.targets.striped import STRIPED
from thinsim.dm.emulator.targets.target_type import TargetType
from thinsim.dm.emulator.targets.thin import THIN
from thinsim.dm.emulator.targets.thin_pool import THIN_POOL
from thinsim.dm.emulator.targets.zero import ZERO

TARGET_TYPES: tuple[TargetType, ...] = (
    ZERO,
    THIN_POOL,
    THIN,
    STRIPED,
    LINEAR,
    ERROR,
)
"""The order is that of ``dmsetup targets``: the last registered type comes first."""

"""The metadata device of a pool: load the last whole image at activation, save one at each commit."""

from thinsim.block.interface import BlockDevice
from thinsim.thin.metadata.slots import HEADER_SIZE, SlotHeader, choose, parse_header, plan_save, slot_offset

_SECTOR = 512

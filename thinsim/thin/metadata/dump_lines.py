"""`superblock_line`, `device_line` and `run_line` write the lines of thin_dump 0.9, without line ends."""

from collections.abc import Mapping

from thinsim.thin.mapping import Run

DEVICE_END = "  </device>"
SUPERBLOCK_END = "</superblock>"
_SUPERBLOCK = ("transaction", "flags", "version", "data_block_size", "nr_data_blocks")
DEVICE_FIELDS = ("mapped_blocks", "transaction", "creation_time", "snap_time")
"""The attributes of a device but its id, in their order."""


def superblock_line(fields: Mapping[str, object]) -> str:
    """Return the line of a superblock with these *fields*: time, transaction, flags and so on."""
    # thin_dump always prints an empty uuid: no program writes one.
    return f'<superblock uuid="" time="{fields["time"]}" {_attributes(fields, _SUPERBLOCK)}>'


def device_line(thin_id: int, fields: Mapping[str, object]) -> str:
    """Return the line of a device with these *fields*: mapped_blocks, transaction and so on."""
    return f'  <device dev_id="{thin_id}" {_attributes(fields, DEVICE_FIELDS)}>'


def run_line(run: Run) -> str:
    """Return the line of a run."""
    if run.length == 1:
        where = f'origin_block="{run.vblock}" data_block="{run.data_block}"'
        return f'    <single_mapping {where} time="{run.time}"/>'
    where = f'origin_begin="{run.vblock}" data_begin="{run.data_block}" length="{run.length}"'
    return f'    <range_mapping {where} time="{run.time}"/>'


def _attributes(fields: Mapping[str, object], names: tuple[str, ...]) -> str:
    return " ".join(f'{name}="{fields[name]}"' for name in names)

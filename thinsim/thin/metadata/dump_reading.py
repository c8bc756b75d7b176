"""`read_dump` reads the XML that any version of thin_dump prints, and `lines_of_0_9` writes it as 0.9 does.

thin_dump 0.9 prints the mappings of each device. From 1.0 on, mappings that devices share are a ``def``,
which each of them names with a ``ref``, and ``flags`` is left out if no flag is set.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from thinsim.thin.mapping import Run
from thinsim.thin.metadata.dump_lines import (
    DEVICE_END,
    DEVICE_FIELDS,
    SUPERBLOCK_END,
    device_line,
    run_line,
    superblock_line,
)


class ReadDevice(NamedTuple):
    """A `ReadDevice` is one thin device of a dump, with the longest runs possible."""

    thin_id: int
    details: Mapping[str, int]
    """The attributes of the device but its id, by their names in the XML."""
    runs: Sequence[Run]


class ReadDump(NamedTuple):
    """A `ReadDump` has the superblock's attributes by their names in the XML, and the devices in order."""

    superblock: Mapping[str, str]
    devices: Sequence[ReadDevice]


def read_dump(text: str) -> ReadDump:
    """Read the output of thin_dump; ValueError for anything else."""
    try:
        root = ElementTree.fromstring(text)
        shared = {part.attrib["name"]: part for part in root.iter("def")}
        devices = tuple(
            ReadDevice(
                int(device.attrib["dev_id"]),
                {name: int(device.attrib[name]) for name in DEVICE_FIELDS},
                tuple(_joined(_runs(device, shared))),
            )
            for device in root.iter("device")
        )
    except (ElementTree.ParseError, KeyError) as error:
        raise ValueError(f"this is no output of thin_dump: {error!r}") from None
    return ReadDump({"flags": "0", **root.attrib}, devices)


def lines_of_0_9(text: str) -> str:
    """Return the output of any version of thin_dump as thin_dump 0.9 prints it; ValueError."""
    superblock, devices = read_dump(text)
    lines = [superblock_line(superblock)]
    for device in devices:
        lines.append(device_line(device.thin_id, device.details))
        lines += map(run_line, device.runs)
        lines.append(DEVICE_END)
    return "".join(f"{line}\n" for line in (*lines, SUPERBLOCK_END))


def _runs(part: ElementTree.Element, shared: Mapping[str, ElementTree.Element]) -> Iterator[Run]:
    for entry in part:
        if entry.tag == "ref":
            yield from _runs(shared[entry.attrib["name"]], shared)
            continue
        fields = {name: int(value) for name, value in entry.attrib.items()}
        if entry.tag == "single_mapping":
            yield Run(fields["origin_block"], fields["data_block"], 1, fields["time"])
        else:
            yield Run(fields["origin_begin"], fields["data_begin"], fields["length"], fields["time"])


def _joined(runs: Iterator[Run]) -> Iterator[Run]:
    """Join runs that continue one another: a part that is shared ends where its leaf ends."""
    last: Run | None = None
    for run in runs:
        if last is not None and run == Run(
            last.vblock + last.length, last.data_block + last.length, run.length, last.time
        ):
            last = Run(last.vblock, last.data_block, last.length + run.length, last.time)
            continue
        if last is not None:
            yield last
        last = run
    if last is not None:
        yield last

"""The bytes of partitions and linear volumes are found on the loop device below."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.node.stack.made_up_machine import GIB, MadeUpMachine
from thinsim.node.stack.height import HeightKind, StackHeight
from thinsim.node.stack.linear_parts import LinearPart, linear_parts
from thinsim.node.stack.places import DevicePlace, Machine
from thinsim.node.stack.walking import stack_below

MIB = 1 << 20


async def walked(machine: MadeUpMachine, number: str) -> Sequence[StackHeight]:
    """Return the heights of a device, with the lowest disk as a loop device."""
    found = await stack_below(DevicePlace(number), Machine(machine.sys, machine, list))
    return [
        replace(each, kind=HeightKind.LOOP) if each.kind is HeightKind.DISK else each
        for each in found.heights
    ]


async def test_a_partition_begins_behind_the_start_of_its_disk(tmp_path: Path) -> None:
    machine = MadeUpMachine(tmp_path)
    machine.add("8:0", "sda")
    machine.add("8:1", "sda1", on="sda")
    found = linear_parts(await walked(machine, "8:1"))
    assert found is not None
    assert (found[0].name, found[1]) == ("/dev/sda", [LinearPart(0, GIB, MIB)])


async def test_a_volume_of_two_segments_on_a_partition_is_in_two_places(tmp_path: Path) -> None:
    machine = MadeUpMachine(tmp_path)
    machine.add("8:0", "sda")
    machine.add("8:1", "sda1", on="sda")
    machine.add_mapped("253:0", "vg-lv", "0 4096 linear 8:1 8192\n4096 2048 linear 8:1 0")
    machine.add_mapped("253:1", "above", "0 3072 linear 253:0 2048\n3072 1024 linear 253:0 0")
    found = linear_parts(await walked(machine, "253:1"))
    assert found is not None
    sector = 512
    assert found[1] == [
        LinearPart(0, 2048 * sector, MIB + (8192 + 2048) * sector),
        LinearPart(2048 * sector, 1024 * sector, MIB),
        LinearPart(3072 * sector, 1024 * sector, MIB + 8192 * sector),
    ]


async def test_two_disks_or_a_height_that_maps_anywhere_have_no_parts(tmp_path: Path) -> None:
    machine = MadeUpMachine(tmp_path)
    machine.add("8:0", "sda")
    machine.add("8:16", "sdb")
    machine.add_mapped("253:0", "two", "0 2048 linear 8:0 0\n2048 2048 linear 8:16 0")
    machine.add_mapped("253:1", "striped", "0 4096 striped 1 128 8:0 0")
    for number in ("253:0", "253:1"):
        assert linear_parts(await walked(machine, number)) is None
    disk = (await stack_below(DevicePlace("8:0"), Machine(machine.sys, machine, list))).heights
    assert linear_parts(disk) is None, "a disk has no file"

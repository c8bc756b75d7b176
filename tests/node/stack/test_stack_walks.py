"""A walk over partitions, LVM, crypt, arrays and pools ends at every disk, and names each obstacle."""

from pathlib import Path

import pytest

from tests.node.stack.made_up_machine import GIB, MadeUpMachine, mount
from thinsim.errors import ConflictError, EnvironmentLacksError
from thinsim.node.stack.block_view import members_of_btrfs
from thinsim.node.stack.height import HeightKind, Lower

SECTORS = GIB // 512


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpMachine:
    return MadeUpMachine(tmp_path / "sys")


async def test_a_volume_over_two_partitions_of_one_disk_ends_at_the_disk_once(machine: MadeUpMachine) -> None:
    machine.add("8:0", "sda")
    machine.add("8:1", "sda1", on="sda")
    machine.add("8:2", "sda2", on="sda")
    table = f"0 {SECTORS} linear 8:1 2048\n{SECTORS} {SECTORS} linear 8:2 0"
    machine.add_mapped("253:0", "vg-root", table, uuid="LVM-x")
    found = await machine.heights(mount("253:0", "xfs", "/dev/mapper/vg-root"))
    assert [(each.kind, each.name) for each in found] == [
        (HeightKind.FILE_SYSTEM, "/"),
        (HeightKind.LINEAR, "/dev/mapper/vg-root"),
        (HeightKind.PARTITION, "/dev/sda2"),
        (HeightKind.PARTITION, "/dev/sda1"),
        (HeightKind.DISK, "/dev/sda"),
    ]
    assert found[1].volume == "vg/root"
    assert found[1].below == (Lower(3, 0, GIB, 1 << 20), Lower(2, GIB, GIB, 0))
    assert found[2].below == found[3].below == (Lower(4, 0, GIB, 1 << 20),)
    assert all(each.passes for each in found)


async def test_each_height_is_before_those_below_it(machine: MadeUpMachine) -> None:
    machine.add("8:0", "sda")
    machine.add_mapped("253:1", "one", f"0 {SECTORS} linear 8:0 0")
    machine.add_mapped("253:2", "two", f"0 {SECTORS} linear 253:1 0")
    machine.add_mapped("253:3", "raid", f"0 {SECTORS} striped 2 128 253:2 0 8:0 0")
    found = await machine.heights("253:3")
    assert all(lower.height > number for number, each in enumerate(found) for lower in each.below)
    assert [each.name for each in found][-1] == "/dev/sda"


async def test_an_array_without_device_mapper_has_its_members_below(machine: MadeUpMachine) -> None:
    folder = machine.add("9:0", "md0", most=0)
    for number, name in (("8:0", "sda"), ("8:16", "sdb")):
        (folder / "slaves" / name).symlink_to(machine.add(number, name))
    found = await machine.heights("9:0")
    assert [each.kind for each in found] == [HeightKind.ARRAY, HeightKind.DISK, HeightKind.DISK]
    assert found[0].reason == "discards are switched off in its queue (discard_max_bytes is 0)"


async def test_crypt_without_allow_discards_is_named(machine: MadeUpMachine) -> None:
    machine.add("8:0", "sda")
    machine.add_mapped("253:0", "secret", f"0 {SECTORS} crypt aes-xts-plain64 - 0 8:0 32768", most=0)
    crypt, disk = await machine.heights("253:0")
    assert (crypt.passes, crypt.reason) == (False, "the table has no allow_discards")
    assert crypt.below == (Lower(1, 0, GIB, 32768 * 512),)
    assert disk.passes


@pytest.mark.parametrize(
    ("features", "most", "dies", "reason"),
    [
        ("0 ", GIB, [], ""),
        ("1 no_discard_passdown ", GIB, ["thin-pool"], "the pool's table has no_discard_passdown"),
        ("0 ", 0, ["thin-pool", "disk"], "its data device /dev/sda takes no discards"),
        (
            "0 ",
            32768,
            ["thin-pool"],
            "a discard of its data device has at most 32 KiB, less than a data block",
        ),
    ],
)
async def test_a_pool_passes_discards_only_if_its_data_device_can_take_whole_blocks(
    machine: MadeUpMachine, features: str, most: int, dies: list[str], reason: str
) -> None:
    machine.add("8:0", "sda", most=most)
    pool = f"0 {SECTORS} thin-pool 8:16 8:0 128 0 {features}"
    machine.add_mapped("253:0", "pool", pool, most=most)
    machine.add_mapped("253:1", "thin", f"0 {SECTORS} thin 253:0 1")
    found = await machine.heights("253:1")
    assert [each.kind.value for each in found if not each.passes] == dies
    assert found[1].reason == reason
    assert (found[0].unit, found[1].pool_block) == (65536, 65536)


async def test_a_thin_device_that_ignores_discards_names_its_pool_s_word(machine: MadeUpMachine) -> None:
    machine.add("8:0", "sda")
    machine.add_mapped("253:0", "pool", f"0 {SECTORS} thin-pool 8:16 8:0 128 0 1 ignore_discard ", most=0)
    machine.add_mapped("253:1", "thin", f"0 {SECTORS} thin 253:0 1", most=0)
    thin, pool, _ = await machine.heights("253:1")
    assert thin.reason == pool.reason == "the pool's table has ignore_discard"


async def test_a_mapped_device_without_a_readable_table_goes_on_with_its_slaves(
    machine: MadeUpMachine,
) -> None:
    folder = machine.add_mapped("253:0", "closed", "")
    (folder / "slaves" / "sda").symlink_to(machine.add("8:0", "sda"))
    mapped, disk = await machine.heights("253:0")
    assert (mapped.kind, mapped.name, disk.name) == (HeightKind.MAPPED, "/dev/mapper/closed", "/dev/sda")
    assert "install dmsetup" in mapped.note


async def test_devices_that_are_below_each_other_are_refused(machine: MadeUpMachine) -> None:
    machine.add_mapped("253:0", "one", f"0 {SECTORS} linear 253:1 0")
    machine.add_mapped("253:1", "two", f"0 {SECTORS} linear 253:0 0")
    with pytest.raises(ConflictError, match="device 253:0 is below itself"):
        await machine.heights("253:0")


async def test_a_device_that_the_kernel_does_not_have_is_refused(machine: MadeUpMachine) -> None:
    with pytest.raises(EnvironmentLacksError, match="no block device 8:99"):
        await machine.heights("8:99")


@pytest.mark.parametrize(
    ("fstype", "options", "passes", "words"),
    [
        ("ext4", "rw,relatime", True, "by fstrim only"),
        ("ext4", "rw,discard", True, "at once and by fstrim"),
        ("btrfs", "rw,discard=async", True, "at once and by fstrim"),
        ("ext4", "ro,discard", False, "it is mounted read-only"),
        ("ext2", "rw", False, "the driver of ext2 sends no discards"),
    ],
)
async def test_a_file_system_passes_discards_by_its_type_and_options(
    machine: MadeUpMachine, fstype: str, options: str, passes: bool, words: str
) -> None:
    machine.add("8:0", "sda", granularity=8192)
    top, _ = await machine.heights(mount("8:0", fstype, "/dev/sda", options))
    assert (top.passes, top.reason or top.note, top.shortest) == (passes, words, 8192)


async def test_the_walk_through_an_overlay_goes_on_with_the_file_system_of_its_upperdir(
    machine: MadeUpMachine, tmp_path: Path
) -> None:
    upper = tmp_path / "upper, with a comma"
    upper.mkdir()
    machine.add("8:0", "sda")
    machine.mounts.append(mount("8:0", "ext4", "/dev/sda", mountpoint=str(tmp_path)))
    escaped = str(upper).replace(",", "\\,")
    top, below, disk = await machine.heights(mount("0:40", "overlay", "overlay", f"rw,upperdir={escaped}"))
    assert (top.type, below.type, disk.name) == ("overlay", "ext4", "/dev/sda")
    (alone,) = await machine.heights(mount("0:41", "overlay", "overlay", "ro,lowerdir=/a:/b"))
    assert alone.reason == "the overlay is read-only: it has no upperdir"


async def test_a_file_system_of_another_machine_or_of_a_server_ends_the_walk(machine: MadeUpMachine) -> None:
    (remote,) = await machine.heights(mount("0:50", "nfs4", "server:/export"))
    assert remote.reason == "the driver of nfs4 sends no discards"
    (served,) = await machine.heights(mount("0:51", "fuse.sshfs", "host:"))
    assert served.kind is HeightKind.FUSE
    (pool,) = await machine.heights(mount("0:52", "zfs", "tank/data"))
    assert pool.note == "the walk ends here: the devices of zfs are not known"


def test_a_btrfs_on_several_devices_is_on_all_of_them(machine: MadeUpMachine) -> None:
    devices = machine.sys / "fs" / "btrfs" / "uuid" / "devices"
    devices.mkdir(parents=True)
    for number, name in (("8:0", "sda"), ("8:16", "sdb")):
        (devices / name).symlink_to(machine.add(number, name))
    assert members_of_btrfs("8:16", machine.sys) == ["8:0", "8:16"]
    assert members_of_btrfs("8:32", machine.sys) == ["8:32"]

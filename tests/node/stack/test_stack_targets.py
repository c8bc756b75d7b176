"""The tables of device-mapper name the lower devices, and the words that stop discards."""

import pytest

from thinsim.dm.text import parse_lines
from thinsim.node.stack.height import HeightKind
from thinsim.node.stack.targets import TargetView, read_targets, volume_name


def read(text: str) -> TargetView:
    return read_targets(parse_lines(text))


def test_a_linear_table_over_two_disks_has_two_parts() -> None:
    view = read("0 2048 linear 8:16 4096\n2048 1024 linear 8:32 0")
    assert view.kind is HeightKind.LINEAR
    parts = [(each.device, each.begin, each.length, each.start) for each in view.lower]
    assert parts == [("8:16", 0, 1 << 20, 2 << 20), ("8:32", 1 << 20, 512 << 10, 0)]


@pytest.mark.parametrize(
    ("table", "kind", "devices", "reason"),
    [
        ("0 8 thin 253:2 7", HeightKind.THIN, ["253:2"], ""),
        ("0 8 thin 253:2 7 8:1", HeightKind.THIN, ["253:2"], ""),
        ("0 8 thin-pool 253:0 253:1 128 0 0 ", HeightKind.THIN_POOL, ["253:1"], ""),
        (
            "0 8 thin-pool 253:0 253:1 128 0 2 skip_block_zeroing no_discard_passdown ",
            HeightKind.THIN_POOL,
            ["253:1"],
            "the pool's table has no_discard_passdown",
        ),
        (
            "0 8 thin-pool 253:0 253:1 128 0 1 ignore_discard ",
            HeightKind.THIN_POOL,
            ["253:1"],
            "the pool's table has ignore_discard",
        ),
        (
            "0 8 crypt aes-xts-plain64 :64:logon:key 0 8:2 4096",
            HeightKind.CRYPT,
            ["8:2"],
            "no allow_discards",
        ),
        ("0 8 crypt aes-xts-plain64 - 0 8:2 4096 1 allow_discards", HeightKind.CRYPT, ["8:2"], ""),
        ("0 8 cache 253:0 253:1 8:2 128 1 writethrough smq 0", HeightKind.CACHE, ["8:2"], ""),
        (
            "0 8 cache 253:0 253:1 8:2 128 2 metadata2 no_discard_passdown smq 0",
            HeightKind.CACHE,
            ["8:2"],
            "no_discard_passdown",
        ),
        ("0 8 striped 2 128 8:16 0 8:32 0", HeightKind.STRIPED, ["8:16", "8:32"], ""),
        (
            "0 8 raid raid1 3 0 region_size 1024 2 253:0 253:1 253:2 253:3",
            HeightKind.MAPPED,
            ["253:0", "253:1", "253:2", "253:3"],
            "",
        ),
        ("0 8 error", HeightKind.MAPPED, [], ""),
    ],
)
def test_a_target_has_its_lower_devices_and_its_obstacle(
    table: str, kind: HeightKind, devices: list[str], reason: str
) -> None:
    view = read(table)
    assert (view.kind, [each.device for each in view.lower]) == (kind, devices)
    assert reason in view.reason
    assert bool(reason) == bool(view.reason)


def test_a_pool_has_its_block_in_bytes() -> None:
    assert read("0 8 thin-pool 253:0 253:1 2048 0 0 ").block == 1 << 20


def test_a_table_of_several_targets_is_mapped() -> None:
    view = read("0 8 linear 8:16 0\n8 8 striped 1 8 8:32 0")
    assert (view.kind, view.types) == (HeightKind.MAPPED, "linear, striped")


@pytest.mark.parametrize(
    ("name", "uuid", "volume"),
    [
        ("vg-root", "LVM-abc", "vg/root"),
        ("my--group-my--volume", "LVM-abc", "my-group/my-volume"),
        ("vg-pool_tdata", "LVM-abc-tdata", "vg/pool_tdata"),
        ("vg-pool-tpool", "LVM-abc-tpool", "vg/pool"),
        ("demo-thin", "", ""),
    ],
)
def test_a_device_of_lvm_has_the_name_of_its_volume(name: str, uuid: str, volume: str) -> None:
    assert volume_name(name, uuid) == volume

"""These tests cover the configuration: valid files, invalid files, and errors with every reason at once."""

import re
from pathlib import Path

import pytest

from thinsim.errors import InvalidValueError
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.errors import InvalidConfigError
from thinsim.snapshotter.image_size import parse_image_size

FULL = Config(
    root_path=Path("/var/lib/thinsim"),
    pool_name="pool",
    base_image_size="128Mb",
    async_remove=True,
    discard_blocks=True,
    fs_type="xfs",
    fs_options="some,options",
    discard_committed=True,
)


def test_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "devmapper.toml"
    file.write_text(FULL.to_toml())
    assert Config.load(file) == FULL


def test_strings_survive_the_round_trip(tmp_path: Path) -> None:
    odd = Config(tmp_path / 'a "quoted" ☃ \x7f \\ name', "pool", "1GiB")
    file = tmp_path / "devmapper.toml"
    file.write_text(odd.to_toml())
    assert Config.load(file) == odd


def test_containerd_plugin_table(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        "version = 2\n"
        '[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "pause"\n'
        '[plugins."io.containerd.snapshotter.v1.devmapper"]\n'
        'root_path = "/r"\npool_name = "p"\nbase_image_size = "10GB"\ndiscard_blocks = true\n'
    )
    assert Config.load(file) == Config(Path("/r"), "p", "10GB", discard_blocks=True)


def test_defaults_are_containerds(tmp_path: Path) -> None:
    config = Config(tmp_path, "pool", "1GiB")
    assert (config.async_remove, config.discard_blocks, config.discard_committed) == (False, False, False)
    assert (config.fs_type, config.fs_options) == ("ext4", "")


@pytest.mark.parametrize(
    ("fs_type", "fs_options", "mkfs_options"),
    [
        ("ext4", "", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"),
        ("ext4", "discard", "discard"),
        ("ext2", "", ""),
        ("xfs", "", ""),
    ],
)
def test_mkfs_options(fs_type: str, fs_options: str, mkfs_options: str) -> None:
    config = Config(Path("/r"), "p", "1GiB", fs_type=fs_type, fs_options=fs_options)
    assert config.mkfs_options == mkfs_options


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0x_1p27", 134217728),
        ("0x_1p2_7", 134217728),
        ("0x1_0p23", 134217728),
        ("0X.8P28 B", 134217728),
        ("1_0.5", 10),
        ("0x1p-99999", 0),
        ("0x1_.0p3", None),
        ("0x1._0p3", None),
        ("0x1p_2", None),
        ("0x1__0p2", None),
        ("1._5", None),
        ("0x.p1", None),
        ("0x1.2.3p4", None),
        ("0x1p99999", None),
    ],
)
def test_numbers_of_go_are_read_as_go_reads_them(text: str, size: int | None) -> None:
    # The values are those of strconv.ParseFloat in Go 1.19.
    if size is None:
        with pytest.raises(InvalidValueError, match=re.escape(repr(text))):
            parse_image_size(text)
    else:
        assert parse_image_size(text) == size


@pytest.mark.parametrize(("text", "size"), [("128Mb", 128 << 20), ("10GiB", 10 << 30), ("512", 512)])
def test_sizes_are_binary(text: str, size: int) -> None:
    assert Config(Path("/r"), "p", text).base_image_bytes == size


def test_four_errors_at_once() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        Config(Path(), "", "", fs_type="btrfs").validate()
    assert caught.value.problems == (
        "pool_name is required",
        "root_path is required",
        "base_image_size is required",
        "fs_type must be one of ext4, xfs, ext2, not 'btrfs'",
    )
    for problem in caught.value.problems:
        assert problem in str(caught.value)
    assert isinstance(caught.value, InvalidValueError)


def test_loading_lists_unknown_mistyped_and_missing_together(tmp_path: Path) -> None:
    file = tmp_path / "devmapper.toml"
    file.write_text('pool_name = 3\nasync_remove = "yes"\ndiscard = true\nbase_image_size = "y"\n')
    with pytest.raises(InvalidConfigError) as caught:
        Config.load(file)
    unknown, pool, removal, root, size = caught.value.problems
    assert unknown == "unknown key 'discard'; did you mean discard_step?"
    assert pool == "pool_name must be a string, not 3"
    assert removal == "async_remove must be true or false, not 'yes'"
    assert root == "root_path is required"
    assert size.startswith("base_image_size: invalid size: 'y'")
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("size", ["0", "513"])
def test_a_size_must_be_whole_sectors(size: str) -> None:
    with pytest.raises(InvalidConfigError, match="multiple of 512"):
        Config(Path("/r"), "p", size).validate()


def test_pool_name_is_no_path() -> None:
    with pytest.raises(InvalidConfigError, match="must not contain a directory"):
        Config(Path("/r"), "/dev/mapper/p", "1GiB").validate()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("a = ", "Invalid value"),
        ("[plugins.other]\n", "no table"),
        ("plugins = 1", "plugins must be a table"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, text: str | None, reason: str) -> None:
    file = tmp_path / "devmapper.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidConfigError, match=reason) as caught:
        Config.load(file)
    assert str(file) in str(caught.value)

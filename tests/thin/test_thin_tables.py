"""Table lines are checked in the kernel's order and printed as ``dmsetup table`` does."""

import errno

import pytest

from thinsim.errors import DeviceMapperError, InvalidValueError
from thinsim.thin.ids import check_thin_id
from thinsim.thin.table import PoolFeatures, PoolTable, parse_pool_table, parse_thin_table, target_type
from thinsim.thin.words import parse_number, split_words
from thinsim.units import Sectors


def test_a_pool_table_without_features_reads_as_defaults() -> None:
    table = parse_pool_table("0 20971520 thin-pool 253:0 /dev/loop1 128 32768")
    assert table == PoolTable(Sectors(20971520), "253:0", "/dev/loop1", Sectors(128), 32768, PoolFeatures())


def test_feature_words_come_in_any_order_and_case_and_print_in_the_kernel_s() -> None:
    line = "0 2048 thin-pool m d 128 0 4 ERROR_IF_NO_SPACE read_only no_discard_passdown skip_block_zeroing"
    text = parse_pool_table(line).text("7:1", "7:0")
    words = "skip_block_zeroing no_discard_passdown read_only error_if_no_space "
    assert text == f"0 2048 thin-pool 7:1 7:0 128 0 4 {words}"


def test_a_pool_table_prints_one_blank_at_the_end() -> None:
    table = parse_pool_table("0 20971520 thin-pool m d 128 0")
    assert table.text("253:0", "253:1") == "0 20971520 thin-pool 253:0 253:1 128 0 0 "


def test_words_after_the_feature_group_are_ignored() -> None:
    table = parse_pool_table("0 2048 thin-pool m d 128 0 1 ignore_discard anything")
    assert table.features == PoolFeatures(ignore_discard=True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("m d 128", "Invalid argument count: 3"),
        ("m m 1 x 9 y", "Error setting metadata or data device: both are 'm'"),
        ("m d 1 x 5 a b c d e", "Invalid number of pool feature arguments: '5'"),
        ("m d 1 x 2 read_only", "Invalid number of pool feature arguments: '2'"),
        ("m d 1 x +1 read_only", "Invalid number of pool feature arguments: '+1'"),
        ("m d 1 x 1 discard", "Unrecognised pool feature requested: 'discard'"),
        ("m d 100 x", "Invalid block size: '100'"),
        ("m d 64 x", "Invalid block size: '64'"),
        ("m d 2097280 x", "Invalid block size: '2097280'"),
        ("m d 0x80 x", "Invalid block size: '0x80'"),
        ("m d 128 x", "Invalid low water mark: 'x'"),
        ("m d 128 -1", "Invalid low water mark: '-1'"),
    ],
)
def test_a_bad_pool_table_is_refused_in_the_kernel_s_words(arguments: str, text: str) -> None:
    with pytest.raises(DeviceMapperError) as caught:
        parse_pool_table(f"0 2048 thin-pool {arguments}")
    assert caught.value.errno == errno.EINVAL
    assert caught.value.args[0].startswith(text)


@pytest.mark.parametrize("line", ["", "0 10", "x 10 thin-pool m d 128 0", "0 0 thin-pool m d 128 0"])
def test_a_malformed_line_is_refused(line: str) -> None:
    with pytest.raises(DeviceMapperError) as caught:
        parse_pool_table(line)
    assert caught.value.errno == errno.EINVAL


def test_a_pool_starts_at_sector_0() -> None:
    with pytest.raises(DeviceMapperError, match="starts at sector 8"):
        parse_pool_table("8 2048 thin-pool m d 128 0")


def test_a_thin_table_reads_and_prints() -> None:
    table = parse_thin_table("0 16384 thin /dev/mapper/pool 7")
    assert (table.length, table.pool_dev, table.thin_id, table.origin_dev) == (
        16384,
        "/dev/mapper/pool",
        7,
        None,
    )
    assert table.text("254:0") == "0 16384 thin 254:0 7"


def test_an_external_origin_is_read() -> None:
    table = parse_thin_table("0 16384 thin pool 7 /dev/loop9")
    assert table.origin_dev == "/dev/loop9"
    assert table.text("254:0", "7:9") == "0 16384 thin 254:0 7 7:9"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("pool", "Invalid argument count: 1"),
        ("pool 1 origin more", "Invalid argument count: 4"),
        ("pool x pool", "Error setting origin device"),
        ("pool 16777216", "Invalid device id: '16777216'"),
        ("pool -1", "Invalid device id: '-1'"),
    ],
)
def test_a_bad_thin_table_is_refused_in_the_kernel_s_words(arguments: str, text: str) -> None:
    with pytest.raises(DeviceMapperError) as caught:
        parse_thin_table(f"0 2048 thin {arguments}")
    assert caught.value.errno == errno.EINVAL
    assert caught.value.args[0].startswith(text)


def test_the_target_type_is_the_third_word() -> None:
    assert target_type("0 10 linear 7:0 0") == "linear"
    with pytest.raises(DeviceMapperError, match="Incomplete"):
        target_type("0 10")
    with pytest.raises(DeviceMapperError, match="'linear': unknown target type, expected thin"):
        parse_thin_table("0 10 linear 7:0 0")


def test_a_backslash_takes_the_next_character_literally() -> None:
    assert split_words(r" create\ thin  1\\2 \a") == ["create thin", "1\\2", "a"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("+7", 7), ("007", 7), ("", None), (" 7", None), ("0x7", None), ("-7", None)],
)
def test_numbers_read_as_kstrtoull_does(text: str, number: int | None) -> None:
    assert parse_number(text) == number


def test_numbers_end_at_64_bits() -> None:
    assert parse_number("18446744073709551615") == (1 << 64) - 1
    assert parse_number("18446744073709551616") is None


def test_a_thin_id_has_24_bits() -> None:
    assert check_thin_id(16777215) == 16777215
    with pytest.raises(InvalidValueError, match="16777216"):
        check_thin_id(16777216)

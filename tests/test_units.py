"""Sizes are read as containerd reads them, and a part of a sector is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinsim.errors import InvalidValueError
from thinsim.units import bytes_of, format_size, parse_size, sectors


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("128Mb", 128 << 20),
        ("512MB", 512 << 20),
        ("10GiB", 10 << 30),
        ("64k", 65536),
        ("1.5g", 3 << 29),
        ("32 kB", 32768),
        ("32 ", 32),
        ("1e3", 1000),
        ("2.5e1K", 25600),
        (".5g", 1 << 29),
        ("5.MiB", 5 << 20),
        ("+7b", 7),
        ("7B", 7),
        ("1Pib", 1 << 50),
    ],
)
def test_sizes_are_read_as_containerd_reads_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "MB", "-1", "1x", "1 2", "0x10", "1MBB", "١", " 1", "1  k", "1gi", "1ib", "1bb", "1 kibi"),
        *("inf", "nan", "1e", "1.2.3", "10k5", "9e18k", "1_000"),
    ],
)
def test_a_malformed_size_is_named(text: str) -> None:
    with pytest.raises(InvalidValueError, match="invalid size"):
        parse_size(text)


@given(st.integers(0, 1 << 55))
def test_sectors_and_bytes_are_each_others_inverse(count: int) -> None:
    assert sectors(bytes_of(count)) == count  # type: ignore[arg-type]


def test_part_of_a_sector_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="not a whole number"):
        sectors(513)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1604 * 65536, "100.2 MiB"),
        (-1536, "-1.5 KiB"),
        (5 << 40, "5 TiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_size(size) == text

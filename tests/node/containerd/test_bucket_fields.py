"""The fields of records are read in Go's encodings, and malformed ones are named."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinsim.node.containerd.bolt import BoltBucket
from thinsim.node.containerd.bucket_fields import BucketFields, text_of, time_of, uvarint_of
from thinsim.node.containerd.errors import DamagedDatabaseError, DatabasePlace

PLACE = DatabasePlace(Path("/meta.db"), "v1/default")


def uvarint(number: int) -> bytes:
    """Return the bytes that PutUvarint of Go's encoding/binary writes."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


@given(number=st.integers(0, (1 << 64) - 1))
def test_every_number_of_64_bits_is_read(number: int) -> None:
    assert uvarint_of(uvarint(number), PLACE) == number


@given(number=st.integers(-(1 << 63), (1 << 63) - 1))
def test_every_signed_number_is_read(number: int) -> None:
    zigzag = number << 1 if number >= 0 else (-number << 1) - 1
    assert BucketFields(BoltBucket(values={b"n": uvarint(zigzag)}), PLACE).varint(b"n") == number


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x01\x01", b"\xff" * 9 + b"\x02", b"\xff" * 20])
def test_no_varint_is_named(content: bytes) -> None:
    with pytest.raises(DamagedDatabaseError, match=r"^/meta.db: v1/default: .* is not a varint of 64 bits$"):
        uvarint_of(content, PLACE)


UTC_ZONE = b"\xff\xff"
SECONDS = (datetime(2026, 12, 1, 8, 56, 3, tzinfo=UTC) - datetime(1, 1, 1, tzinfo=UTC)).total_seconds()
TIME = b"\1" + int(SECONDS).to_bytes(8, "big") + (347_870_999).to_bytes(4, "big")


@pytest.mark.parametrize("content", [TIME + UTC_ZONE, TIME + b"\0\x3c", b"\2" + TIME[1:] + b"\0\x3c\x05"])
def test_a_time_of_go_is_read_in_utc(content: bytes) -> None:
    assert time_of(content, PLACE) == datetime(2026, 12, 1, 8, 56, 3, 347_870, tzinfo=UTC)


def test_the_zero_time_of_go_is_the_year_one() -> None:
    assert time_of(b"\1" + bytes(12) + UTC_ZONE, PLACE) == datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "content",
    [b"", TIME, TIME + UTC_ZONE + b"\0", b"\3" + TIME[1:] + UTC_ZONE, b"\1" + b"\xff" * 14, b"\1" * 15],
)
def test_no_time_is_named(content: bytes) -> None:
    with pytest.raises(DamagedDatabaseError, match=r"^/meta.db: v1/default: .* is not a "):
        time_of(content, PLACE)


def test_text_that_is_not_utf_8_is_named() -> None:
    with pytest.raises(DamagedDatabaseError, match=r"^/meta\.db: v1/default: byte 2 is not UTF-8$"):
        text_of(b"ab\xff", PLACE)


@pytest.mark.parametrize(
    "read",
    [
        lambda fields: fields.text(b"bad"),
        lambda fields: fields.uvarint(b"bad"),
        lambda fields: fields.varint(b"bad"),
        lambda fields: fields.time(b"bad"),
    ],
    ids=["text", "uvarint", "varint", "time"],
)
def test_the_place_of_a_bad_field_has_its_key(read: Callable[[BucketFields], object]) -> None:
    fields = BucketFields(BoltBucket(values={b"bad": b"\xff"}), PLACE)
    with pytest.raises(DamagedDatabaseError, match=r"^/meta\.db: v1/default/bad: "):
        read(fields)


def test_absent_fields_are_empty() -> None:
    fields = BucketFields(BoltBucket(), PLACE)
    assert (fields.text(b"x"), fields.uvarint(b"x"), fields.varint(b"x"), fields.time(b"x")) == (
        "",
        0,
        0,
        None,
    )
    assert (fields.labels(), fields.inner(b"x", b"y"), list(fields.each(b"x")), fields.names(b"x")) == (
        {}, None, [], (),
    )  # fmt: skip


def test_a_long_key_is_shortened_in_a_place_and_its_bytes_are_shown() -> None:
    name = PLACE.within(b"\xff" + b"k" * 500).name
    assert name == f"v1/default/\\xff{'k' * 76}..."

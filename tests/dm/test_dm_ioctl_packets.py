"""The packets of device-mapper's ioctls follow the kernel's header; any other bytes end in EINVAL."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinsim.dm.daemon.ioctl import payload
from thinsim.dm.packet import (
    DATA_OFFSET,
    HEAD_SIZE,
    Flag,
    Packet,
    decode,
    decode_number,
    encode,
    encode_number,
)
from thinsim.errors import InvalidValueError

TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=40)
NUMBER = st.tuples(st.integers(0, (1 << 12) - 1), st.integers(0, (1 << 20) - 1))


def test_the_head_has_the_size_and_the_places_of_the_kernels_header() -> None:
    assert (HEAD_SIZE, DATA_OFFSET) == (312, 305)
    content = encode(Packet(number=(254, 3), name="NAME", uuid="UUID", event_nr=7, flags=Flag.SUSPEND))
    assert struct.unpack_from("=3I", content) == (4, 47, 0)
    assert struct.unpack_from("=I", content, 28) == (2,)  # flags
    assert struct.unpack_from("=I", content, 32) == (7,)  # event_nr
    assert struct.unpack_from("=Q", content, 40) == (254 << 8 | 3,)  # dev
    assert content[48:53] == b"NAME\0"
    assert content[176:181] == b"UUID\0"


@given(NUMBER)
def test_device_numbers_survive(number: tuple[int, int]) -> None:
    assert decode_number(encode_number(number)) == number


@given(
    st.builds(
        Packet,
        data_size=st.integers(HEAD_SIZE + 600, 1 << 20),
        target_count=st.integers(0, 9),
        open_count=st.integers(0, 9),
        flags=st.integers(0, (1 << 19) - 1),
        event_nr=st.integers(0, (1 << 32) - 1),
        number=NUMBER,
        name=TEXT.filter(lambda text: len(text.encode()) < 128),
        uuid=TEXT.filter(lambda text: len(text.encode()) < 129),
        data=st.binary(min_size=1, max_size=500),
    )
)
def test_a_packet_reads_back_as_it_was_written(packet: Packet) -> None:
    again = decode(encode(packet))
    assert again.data_size == HEAD_SIZE + len(packet.data)
    again.data_size = packet.data_size
    assert again == packet


@given(st.binary(max_size=700))
def test_bytes_that_are_no_request_are_refused_and_never_worse(content: bytes) -> None:
    try:
        packet = decode(content)
    except InvalidValueError:
        return
    for read in (
        lambda: payload.parse_segments(packet.data, packet.target_count % 100),
        lambda: payload.parse_message(packet.data),
        lambda: payload.parse_string(packet.data),
    ):
        try:
            read()
        except InvalidValueError:
            continue


@given(
    st.lists(
        st.builds(payload.ListedDevice, TEXT.filter(bool), NUMBER.filter(any), st.integers(0, 99)), max_size=9
    )
)
def test_a_list_of_names_reads_back(devices: list[payload.ListedDevice]) -> None:
    content = payload.names(devices, 1 << 16)
    assert content is not None
    assert payload.parse_names(content) == devices
    assert len(content) % 8 == 0
    assert payload.names(devices, len(content) - 1) is None


def test_each_target_of_a_load_has_the_offset_of_the_next() -> None:
    first = struct.pack("=QQiI16s", 0, 8, 0, 48, b"zero") + b"\0" * 8
    second = struct.pack("=QQiI16s", 8, 16, 0, 0, b"linear") + b"7:0 0\0"
    assert payload.parse_segments(first + second, 2) == [
        payload.Segment(0, 8, "zero", ""),
        payload.Segment(8, 16, "linear", "7:0 0"),
    ]
    with pytest.raises(InvalidValueError, match="fewer targets"):
        payload.parse_segments(first, 2)


def test_each_text_of_a_status_has_the_offset_of_the_next_from_the_first() -> None:
    texts = [payload.Segment(0, 8, "zero", ""), payload.Segment(8, 16, "linear", "7:0 0")]
    content = payload.segments(texts, 1 << 16)
    assert content is not None
    (following,) = struct.unpack_from("=I", content, 20)
    assert struct.unpack_from("=QQ", content, following) == (8, 16)
    assert content[following + 40 :].startswith(b"7:0 0\0")
    assert payload.segments(texts, len(content) - 1) is None

"""Each metadata block is unpacked as it was packed, and damaged instructions are refused."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinsim.errors import InvalidValueError
from thinsim.thin.metadata.checksum import NODE_SALT, SUPERBLOCK_SALT, seal
from thinsim.thin.metadata.pack_file import PACK_MAGIC, PackWriter, read_blocks, read_header
from thinsim.thin.metadata.packed_block import packed, unpacked

BLOCK = 4096
NUMBERS = st.one_of(
    st.integers(0, (1 << 64) - 1), st.integers(0, 40), st.sampled_from([0, 1 << 63, (1 << 64) - 1, 1 << 24])
)


@st.composite
def nodes(draw: st.DrawFn) -> bytes:
    """Return a block with the checksum of a btree node; its counts may be impossible."""
    flags, entries = draw(st.integers(0, 3)), draw(st.integers(0, 300))
    value_size = draw(st.sampled_from([4, 8, 16, 24, 0]))
    header = struct.pack("<IIQIIII", 0, flags, draw(NUMBERS), entries, entries, value_size, 0)
    start, step, length = draw(NUMBERS), draw(NUMBERS), draw(st.integers(0, 508))
    run = [start + step * number & (1 << 64) - 1 for number in range(length)]
    numbers = (run + draw(st.lists(NUMBERS, max_size=60)))[:508]
    body = struct.pack(f"<{len(numbers)}Q", *numbers)
    return seal(bytearray((header + body).ljust(BLOCK, b"\0")), NODE_SALT)


def through(block: bytes) -> tuple[bytes, int]:
    instructions = packed(block)
    found, at = unpacked(memoryview(instructions), 0)
    assert at == len(instructions)
    return found, at


@given(nodes())
def test_a_node_is_unpacked_as_it_was_packed(node: bytes) -> None:
    assert through(node)[0] == node


@given(st.binary(max_size=200).map(lambda start: start.ljust(BLOCK, b"\7")))
def test_any_other_block_is_unpacked_as_it_was_packed(block: bytes) -> None:
    assert through(block)[0] == block


def test_ascending_keys_and_blocks_take_few_bytes() -> None:
    header = struct.pack("<IIQIIII", 0, 2, 7, 252, 252, 8, 0)
    body = struct.pack("<504Q", *range(1000, 1252), *(block << 24 for block in range(252)))
    block = seal(bytearray((header + body).ljust(BLOCK, b"\0")), NODE_SALT)
    found, size = through(block)
    assert found == block
    assert size < 100


def test_numbers_in_two_parts_are_joined() -> None:
    """thin_metadata_pack writes mappings in this way, and thinsim does not."""
    row = bytes([0x01, 5, 0x61, 0xFF])
    found, _ = unpacked(memoryview(bytes([0xB2, 0x00]) + row + row), 0)
    assert found == struct.pack("<512Q", *[5 << 24 | 5] * 512)


@given(st.binary(max_size=400))
def test_random_instructions_write_a_block_or_are_refused(instructions: bytes) -> None:
    try:
        block, at = unpacked(memoryview(instructions), 0)
    except InvalidValueError:
        return
    assert len(block) == BLOCK
    assert at <= len(instructions)


@pytest.mark.parametrize(
    ("instructions", "why"),
    [
        (b"", "end early"),
        (bytes([0x9F]) + b"short", "end early"),
        (bytes([0x03]), "an operand has 3 bytes"),
        (bytes([0xC0]), "kind 12 is unknown"),
        (bytes([0x71, 0x10]), "repeated 1 times"),
        (bytes([0x72, 0x92, 0, 0]), "kind 9 is repeated"),
        (bytes([0x01, 0, 0x6F, 0xFF]), "write 32768 bytes instead of 4096"),
        (bytes([0xB0, 1, 0xB0, 1]), "kind 11 is unknown, or has no place here"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_wrong_instructions_are_named(instructions: bytes, why: str) -> None:
    with pytest.raises(InvalidValueError, match=why):
        unpacked(memoryview(instructions), 0)


def pack_of(*blocks: tuple[int, bytes], size: int = 16) -> bytes:
    output = io.BytesIO()
    writer = PackWriter(output, size)
    for number, block in blocks:
        writer.add(number, block)
    writer.finish()
    return output.getvalue()


SUPERBLOCK = seal(bytearray(BLOCK), SUPERBLOCK_SALT)
NODE = seal(bytearray(BLOCK), NODE_SALT)


def as_sound(content: bytes) -> bytes:
    """Return a pack with damage as one that claims to have none."""
    assert content[12:16] != bytes(4)
    return content[:12] + bytes(4) + content[16:]


def read(content: bytes) -> list[tuple[int, bytes]]:
    source = io.BytesIO(content)
    return list(read_blocks(source, read_header(source)))


def test_a_pack_has_chunks_of_1024_blocks() -> None:
    blocks = [(number, NODE) for number in range(2000)]
    content = pack_of(*blocks, size=2000)
    assert read(content) == blocks
    (first,) = struct.unpack_from("<Q", content, 32)
    (second,) = struct.unpack_from("<Q", content, 40 + first)
    assert 48 + first + second == len(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a file of thinsim metadata pack"),
        (b"x" * 100, "not a file of thinsim metadata pack"),
        (struct.pack("<2Q", PACK_MAGIC, 3), "cut short: its header has 16 of 32 bytes"),
        (struct.pack("<4Q", PACK_MAGIC, 2, BLOCK, 1), "has the version 2, and thinsim knows 3"),
        (struct.pack("<4Q", PACK_MAGIC, 3, 512, 1), "blocks of 512 bytes, not of 4096"),
        (struct.pack("<4Q", PACK_MAGIC, 3, BLOCK, 0), "a device without blocks"),
        (struct.pack("<5Q", PACK_MAGIC, 3, BLOCK, 1, 1 << 40), "chunk 0 is damaged: it has the impossible"),
        (struct.pack("<5Q", PACK_MAGIC, 3, BLOCK, 1, 4) + b"zlib", "chunk 0 is damaged: Error -3"),
        (pack_of((16, NODE)), "it has block 16 of a device with 16 blocks"),
        (as_sound(pack_of((0, SUPERBLOCK), (3, bytes(BLOCK)))), "block 3 has a wrong checksum"),
        (pack_of((3, NODE))[:-1], "cut short inside chunk 0"),
        (pack_of((3, NODE)) + b"1234", "cut short inside chunk 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_of_a_pack_is_named(content: bytes, why: str) -> None:
    with pytest.raises(InvalidValueError, match=why):
        read(content)

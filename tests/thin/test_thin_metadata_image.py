"""The saved form: what was encoded comes back, and damage never reads as data."""

import errno
import random
from dataclasses import replace

import pytest
from thinsim.thin.metadata.image import MetadataDamagedError, decode, encode
from thinsim.thin.metadata.slots import (
    HEADER_SIZE,
    PIECE_SIZE,
    SlotHeader,
    choose,
    parse_header,
    plan_save,
    slot_offset,
)
from thinsim.thin.state import DeviceState, HeldSnapshot, PoolState

from thinsim.errors import KernelError
from thinsim.thin.mapping import Mappings, Run
from thinsim.units import Sectors


def some_state() -> PoolState:
    device = DeviceState(Mappings([Run(0, 3, 2, 1), Run(7, 1, 1, 2)]), 5, 1, 2)
    other = DeviceState(Mappings(), 6, 2, 2)
    held = HeldSnapshot(12, {4: device.copy()})
    return PoolState(Sectors(128), 10, 7, 2, True, {4: device, 16777215: other}, held, [9])


def test_a_state_reads_back() -> None:
    state = decode(encode(some_state()))
    assert encode(state) == encode(some_state())
    assert list(state.devices[4].mappings.runs()) == [Run(0, 3, 2, 1), Run(7, 1, 1, 2)]
    assert (state.transaction_id, state.time, state.needs_check, state.leaked) == (7, 2, True, [9])
    assert state.held is not None
    assert state.held.root == 12


def test_any_changed_or_missing_byte_is_damage() -> None:
    image = encode(some_state())
    for position in range(len(image)):
        broken = bytearray(image)
        broken[position] ^= 1 << position % 8
        with pytest.raises(MetadataDamagedError):
            decode(bytes(broken))
        with pytest.raises(MetadataDamagedError):
            decode(image[:position])
    with pytest.raises(MetadataDamagedError, match="follow the header"):
        decode(image + b"\0")


def test_damage_is_eilseq_and_says_what_is_wrong() -> None:
    with pytest.raises(MetadataDamagedError, match="magic is b'notapool'") as caught:
        decode(b"notapool" + encode(some_state())[8:])
    assert caught.value.errno == errno.EILSEQ


@pytest.mark.parametrize(("run", "time"), [(Run(0, 9, 2, 0), 2), (Run(0, 0, 1, 3), 2), (Run(0, 10, 1, 0), 2)])
def test_impossible_mappings_are_damage(run: Run, time: int) -> None:
    state = PoolState(Sectors(128), 10, 0, time, False, {1: DeviceState(Mappings([run]), 0, 0, 0)})
    with pytest.raises(MetadataDamagedError, match="impossible mapping"):
        decode(encode(state))


def test_a_leaked_block_beyond_the_pool_is_damage() -> None:
    with pytest.raises(MetadataDamagedError, match="leaked block 10 of 10"):
        decode(encode(replace(some_state(), leaked=[10])))


def saved(device: bytearray, image: bytes, generation: int) -> None:
    for offset, part in plan_save(image, generation, len(device)):
        device[offset : offset + len(part)] = part


def headers(device: bytearray) -> tuple[bytes, bytes]:
    first, second = (bytes(device[slot_offset(slot) : slot_offset(slot) + HEADER_SIZE]) for slot in (0, 1))
    return first, second


def read(device: bytearray, header: SlotHeader) -> bytes:
    return header.check(b"".join(device[offset : offset + length] for offset, length in header.pieces()))


def test_a_zeroed_device_is_fresh() -> None:
    assert choose(bytes(HEADER_SIZE), bytes(HEADER_SIZE)) is None


def test_zeroing_the_first_block_makes_a_device_fresh() -> None:
    device = bytearray(1 << 20)
    saved(device, b"one", 1)
    saved(device, b"two", 2)
    device[:4096] = bytes(4096)
    assert choose(*headers(device)) is None


def test_the_newer_of_two_images_is_chosen() -> None:
    device = bytearray(1 << 20)
    for generation in range(1, 6):
        image = random.Random(generation).randbytes(3 * PIECE_SIZE + generation)
        saved(device, image, generation)
        header = choose(*headers(device))
        assert header is not None
        assert (header.generation, read(device, header)) == (generation, image)


def test_a_save_cut_off_anywhere_leaves_the_image_before_it() -> None:
    old, new = random.Random(1).randbytes(200_000), random.Random(2).randbytes(250_000)
    device = bytearray(1 << 20)
    saved(device, old, 1)
    for offset, part in plan_save(new, 2, len(device))[:-1]:
        device[offset : offset + len(part)] = part
        header = choose(*headers(device))
        assert header is not None
        assert read(device, header) == old


def test_an_image_keeps_its_place_when_the_device_grows() -> None:
    device = bytearray(4096 + 4 * PIECE_SIZE)
    saved(device, b"a" * 100_000, 1)
    device.extend(bytes(1 << 20))
    saved(device, b"b" * 300_000, 2)
    header = parse_header(headers(device)[1])
    assert header is not None
    assert read(device, header) == b"a" * 100_000


def test_a_device_too_small_for_the_image_is_enospc() -> None:
    with pytest.raises(KernelError) as caught:
        plan_save(bytes(PIECE_SIZE + 1), 1, 4096 + 3 * PIECE_SIZE)
    assert caught.value.errno == errno.ENOSPC


def test_a_damaged_header_is_never_passed_over() -> None:
    device = bytearray(1 << 20)
    saved(device, b"one", 1)
    saved(device, b"two", 2)
    device[slot_offset(0) + 20] ^= 1
    with pytest.raises(MetadataDamagedError, match="checksum of a slot's header"):
        choose(*headers(device))


def test_a_header_in_the_other_s_slot_is_damage() -> None:
    header = SlotHeader(2, 0, 0).encode()
    with pytest.raises(MetadataDamagedError, match="slot 1 holds generation 2"):
        choose(bytes(HEADER_SIZE), header)


def test_another_file_s_header_is_damage() -> None:
    with pytest.raises(MetadataDamagedError, match="no pool of ours"):
        parse_header(b"LABELONE".ljust(HEADER_SIZE, b"\0"))


def test_a_damaged_image_is_never_passed_over() -> None:
    device = bytearray(1 << 20)
    saved(device, b"image", 1)
    header = choose(*headers(device))
    assert header is not None
    with pytest.raises(MetadataDamagedError, match="generation 1 is damaged"):
        header.check(b"imagf")

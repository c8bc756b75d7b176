"""These tests place a pool's data in part of a file: ranges and events have the pool's own offsets."""

from fuse_backing.events import LedgerEvent
from fuse_backing.faults import Operation
from thinsim.rig.data_place import DataPlace

PLACE = DataPlace(1000, 500)


def test_ranges_are_cut_to_the_part_and_begin_at_0() -> None:
    ranges = [(0, 10), (900, 1100), (1200, 1300), (1400, 1600), (1700, 1800)]
    assert PLACE.within(ranges) == [(0, 100), (200, 300), (400, 500)]


def test_events_elsewhere_in_the_file_are_left_out() -> None:
    events = [event(offset) for offset in (0, 999, 1000, 1499, 1500)]
    assert [each.offset for each in PLACE.events(events)] == [0, 499]


def event(offset: int) -> LedgerEvent:
    return LedgerEvent(
        sequence=1,
        time=0,
        file="data",
        operation=Operation.PUNCH,
        mode=3,
        offset=offset,
        length=1,
        allocated=0,
        freed=0,
        errno=0,
        duration=0,
    )

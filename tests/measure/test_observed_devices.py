"""Reading from the acts on thin devices why a deleted one was not discarded."""

import pytest

from thinsim.dm.activity import Activity, ActivityKind
from thinsim.errors import InvariantError
from thinsim.measure.observed import ObservedDevices
from thinsim.snapshotter.events import DeviceEventKind, DiscardSkipped


def activated(thin_id: int) -> Activity:
    return Activity(ActivityKind.ACTIVATED, f"pool-snap-{thin_id}", thin_id)


def deactivated(thin_id: int) -> Activity:
    return Activity(ActivityKind.DEACTIVATED, f"pool-snap-{thin_id}", thin_id)


def discarded(thin_id: int) -> Activity:
    return Activity(ActivityKind.DISCARDED, f"pool-snap-{thin_id}", thin_id, 1 << 20)


def message(text: str) -> Activity:
    return Activity(ActivityKind.MESSAGE, "pool", -1, text=text)


def test_a_discard_just_before_the_removal_is_one() -> None:
    observed = ObservedDevices("pool", discard_blocks=True)
    observed.step([message("create_thin 7"), activated(7)])
    events = observed.step([discarded(7), deactivated(7), message("delete 7")])
    assert [event.kind for event in events] == [
        DeviceEventKind.DEACTIVATED,
        DeviceEventKind.DISCARDED,
        DeviceEventKind.DELETED,
    ]
    assert {event.snapshot for event in events} == {"snap-7"}


def test_a_discard_before_the_device_was_activated_again_is_none() -> None:
    observed = ObservedDevices("pool", discard_blocks=True)
    observed.step([activated(7), discarded(7), deactivated(7), activated(7)])
    events = observed.step([deactivated(7), message("delete 7")])
    assert [event.detail for event in events if event.kind is DeviceEventKind.DISCARD_SKIPPED] == [
        DiscardSkipped.BUSY
    ]


def test_a_device_that_went_in_an_earlier_step_was_not_active() -> None:
    observed = ObservedDevices("pool", discard_blocks=True)
    observed.step([activated(7), deactivated(7)])
    (skipped, _) = observed.step([message("delete 7")])
    assert skipped.detail == DiscardSkipped.NOT_ACTIVE


def test_without_discard_blocks_that_is_the_reason() -> None:
    observed = ObservedDevices("pool", discard_blocks=False)
    observed.step([activated(7), deactivated(7)])
    (skipped, _) = observed.step([message("DELETE 7")])
    assert skipped.detail == DiscardSkipped.OFF


def test_a_device_that_was_never_active_is_a_fault_of_the_measurement() -> None:
    with pytest.raises(InvariantError, match="thin 9"):
        ObservedDevices("pool", discard_blocks=True).step([message("delete 9")])

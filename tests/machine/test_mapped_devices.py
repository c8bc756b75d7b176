"""A dead run's own mapped devices are told by name, or by UUID where names are common."""

from thinsim.machine.mapped_devices import devices_of_entry

BELOW = ["vg-pool_tdata", "vg-pool_tmeta"]
ENTRY = {"pool": "vg-pool", "uuid": "LVM-abc", "below": BELOW}
OURS = {"vg-pool": "LVM-abcX-pool", "vg-pool_tdata": "LVM-abcY-tdata", "vg-pool_tmeta": "LVM-abcZ-tmeta"}


def test_a_pool_of_the_run_s_own_name_goes_after_its_thin_devices() -> None:
    there = {"thinsim-1": "", "thinsim-1-snap-2": "", "thinsim-12": "", "other": ""}
    assert devices_of_entry({"pool": "thinsim-1"}, there) == ["thinsim-1-snap-2", "thinsim-1"]


def test_what_is_below_a_pool_goes_last() -> None:
    assert devices_of_entry(ENTRY, {**OURS, "vg-pool-snap-1": ""}) == ["vg-pool-snap-1", "vg-pool", *BELOW]


def test_a_pool_of_the_same_name_that_is_another_s_stays_with_its_thin_devices() -> None:
    others = {name: uuid.replace("abc", "xyz") for name, uuid in OURS.items()}
    assert devices_of_entry(ENTRY, {**others, "vg-pool-snap-1": ""}) == []


def test_what_a_run_killed_in_the_middle_left_below_goes() -> None:
    assert devices_of_entry(ENTRY, {"vg-pool_tmeta": "LVM-abcZ-tmeta", "vg-pool_tdata": "LVM-x"}) == [
        "vg-pool_tmeta"
    ]


def test_nothing_is_ours_where_nothing_is() -> None:
    assert devices_of_entry(ENTRY, {}) == []

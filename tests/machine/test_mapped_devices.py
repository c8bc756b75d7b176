"""A dead run's mapped devices are identified by name, or by UUID if another owner may use the same name."""

from thinsim.machine.mapped_devices import devices_of_entry

BELOW = ["vg-pool_tdata", "vg-pool_tmeta"]
ENTRY = {"pool": "vg-pool", "uuid": "LVM-abc", "below": BELOW}
OURS = {"vg-pool": "LVM-abcX-pool", "vg-pool_tdata": "LVM-abcY-tdata", "vg-pool_tmeta": "LVM-abcZ-tmeta"}


def test_a_pool_of_the_run_s_own_name_goes_after_its_thin_devices() -> None:
    there = {"thinsim-1": "", "thinsim-1-snap-2": "", "thinsim-12": "", "other": ""}
    assert devices_of_entry({"pool": "thinsim-1"}, there) == ["thinsim-1-snap-2", "thinsim-1"]


def test_the_devices_below_a_pool_go_last() -> None:
    assert devices_of_entry(ENTRY, {**OURS, "vg-pool-snap-1": ""}) == ["vg-pool-snap-1", "vg-pool", *BELOW]


def test_another_owners_pool_of_the_same_name_stays_with_its_thin_devices() -> None:
    others = {name: uuid.replace("abc", "xyz") for name, uuid in OURS.items()}
    assert devices_of_entry(ENTRY, {**others, "vg-pool-snap-1": ""}) == []


def test_lower_devices_of_a_run_that_was_killed_before_it_had_a_pool_go() -> None:
    assert devices_of_entry(ENTRY, {"vg-pool_tmeta": "LVM-abcZ-tmeta", "vg-pool_tdata": "LVM-x"}) == [
        "vg-pool_tmeta"
    ]


def test_without_devices_none_is_ours() -> None:
    assert devices_of_entry(ENTRY, {}) == []

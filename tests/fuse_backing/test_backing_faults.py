"""Fault plans accept the right entries, and strike the same requests in each run."""

import errno
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_backing.errors import FaultPlanError
from fuse_backing.faults import STRUCK, Fault, FaultKind, FaultPlan, Operation, Strike

EIO = {"operation": "punch", "action": "error", "errno": "EIO"}
SLOW = {"operation": "write", "action": "throttle", "bytes_per_second": 1000}


def plan(*faults: dict[str, object]) -> FaultPlan:
    return FaultPlan.from_json(list(faults))


def struck(faults: FaultPlan, count: int, operation: Operation = Operation.PUNCH) -> list[int]:
    """Return the numbers, from 1, of the equal requests that are struck."""
    return [number for number in range(1, count + 1) if faults.strike(operation, "a", 0, 4096) is not None]


def test_a_plan_is_read_from_toml() -> None:
    text = """
    [[fault]]
    operation = "punch"
    file = "disk*"
    offset = 4096
    length = 8192
    nth = 3
    times = 2
    action = "error"
    errno = "EIO"

    [[fault]]
    operation = "any"
    times = "always"
    action = "delay"
    seconds = 0.5
    """
    assert FaultPlan.from_toml(text).faults == (
        Fault(FaultKind.ERROR, Operation.PUNCH, "disk*", 4096, 8192, 3, 2, errno="EIO"),
        Fault(FaultKind.DELAY, "any", times="always", seconds=0.5),
    )


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({}, "'action' is missing; it must be one of error, delay, partial, lie, full, crash, throttle"),
        ({"action": "explode"}, "'action' is 'explode'"),
        ({"action": "eror"}, "crash, throttle; did you mean 'error'?"),
        ({"action": "crash", "operation": "punhc"}, "fsync, any; did you mean 'punch'?"),
        (
            {"action": "crash"},
            "'operation' is missing; it must be one of punch, zero, write, read, fsync, any",
        ),
        ({"action": "crash", "operation": "allocate"}, "'operation' is 'allocate'"),
        ({"action": "error", "operation": "punch"}, "action 'error' needs 'errno'"),
        ({**EIO, "errno": "5"}, "'errno' must be a name such as EIO, not '5'"),
        ({**EIO, "errno": 5}, "'errno' must be a name such as EIO, not 5"),
        ({**EIO, "errno": "errorcode"}, "'errno' must be a name"),
        ({**EIO, "errno": "ENOSYS"}, "use EOPNOTSUPP"),
        ({**EIO, "seconds": 1}, "action 'error' has no 'seconds'"),
        ({**EIO, "colour": 1}, "unknown key 'colour'"),
        ({**EIO, "nth": 0}, "'nth' must be a whole number of at least 1, not 0"),
        ({**EIO, "nth": True}, "'nth' must be a whole number"),
        ({**EIO, "times": "often"}, "'times' must be a whole number"),
        ({**EIO, "offset": -1}, "'offset' must be a whole number of at least 0, not -1"),
        ({**EIO, "length": 0}, "'length' must be a whole number of at least 1, not 0"),
        ({**EIO, "offset": 1 << 63}, "'offset' must be"),
        ({**EIO, "file": 3}, "'file' must be a string, not 3"),
        (
            {"action": "delay", "operation": "read", "seconds": -1},
            "'seconds' must be a number from 0 to 3600",
        ),
        ({"action": "delay", "operation": "read", "seconds": float("nan")}, "'seconds' must be a number"),
        ({"action": "partial", "operation": "write", "bytes": 1}, "for punch and zero, not for 'write'"),
        ({"action": "lie", "operation": "any"}, "for punch and zero and fsync, not for 'any'"),
        ({"action": "full", "operation": "punch", "bytes": 1}, "for write, not for 'punch'"),
        ({"action": "full", "operation": "write", "bytes": 1, "nth": 2}, "remove 'nth'"),
        ({"action": "crash", "operation": "fsync", "offset": 1}, "operation 'fsync' has no range"),
        ({**EIO, "probabilty": 0.5}, "unknown key 'probabilty'; did you mean 'probability'?"),
        ({**EIO, "probability": 1.5}, "'probability' must be a number from 0 to 1, not 1.5"),
        ({**EIO, "probability": -0.1}, "'probability' must be a number from 0 to 1, not -0.1"),
        ({**EIO, "probability": True}, "'probability' must be a number from 0 to 1, not True"),
        ({**EIO, "probability": "often"}, "'probability' must be a number from 0 to 1, not 'often'"),
        ({**EIO, "probability": float("nan")}, "'probability' must be a number from 0 to 1, not nan"),
        ({**EIO, "probability": 0.5, "seed": -1}, "'seed' must be a whole number of at least 0, not -1"),
        ({**EIO, "seed": 1}, "'seed' is for a 'probability', which is missing"),
        ({**EIO, "bytes_per_second": 1}, "action 'error' has no 'bytes_per_second'"),
        (
            {"action": "full", "operation": "write", "bytes": 1, "probability": 0.5},
            "action 'full' counts bytes: remove 'probability'",
        ),
        (
            {"action": "throttle", "operation": "read"},
            "action 'throttle' needs 'bytes_per_second' or 'operations_per_second'",
        ),
        ({**SLOW, "bytes_per_second": 0}, "'bytes_per_second' must be a number above 0, not 0"),
        ({**SLOW, "operations_per_second": -2}, "'operations_per_second' must be a number above 0, not -2"),
        ({**SLOW, "operations_per_second": float("inf")}, "must be a number above 0, not inf"),
        ({**SLOW, "times": 3}, "action 'throttle' slows every request from the 'nth' on: remove 'times'"),
        ({**SLOW, "probability": 0.5}, "from the 'nth' on: remove 'probability'"),
        ({**SLOW, "operation": "fsync"}, "operation 'fsync' has no bytes: use 'operations_per_second'"),
    ],
)
def test_a_wrong_fault_is_refused_with_the_reason(fault: dict[str, object], complaint: str) -> None:
    with pytest.raises(FaultPlanError) as raised:
        plan(EIO, fault)
    assert str(raised.value).startswith("fault 2: ")
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fault = ", "not valid TOML"),
        ("", "the plan is empty; to remove all faults, run: fuse-backing faults clear"),
        (
            "[[faults]]",
            r"\[\[fault\]\] tables and nothing else, not 'faults'; did you mean 'fault'",
        ),
        ("fault = 1", "1 to 256 faults"),
        ("fault = []", "1 to 256 faults"),
        ("fault = [1]", "fault 1: must be a table"),
    ],
)
def test_a_malformed_plan_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(FaultPlanError, match=complaint):
        FaultPlan.from_toml(text)


def test_a_plan_has_an_end() -> None:
    with pytest.raises(FaultPlanError, match="1 to 256 faults"):
        plan(*[EIO] * 257)


def test_a_fault_strikes_the_nth_match_and_those_after_it() -> None:
    assert struck(plan(EIO), 4) == [1]
    assert struck(plan({**EIO, "nth": 3}), 4) == [3]
    assert struck(plan({**EIO, "nth": 2, "times": 2}), 4) == [2, 3]
    assert struck(plan({**EIO, "nth": 2, "times": "always"}), 4) == [2, 3, 4]


def test_only_matching_requests_are_counted() -> None:
    faults = plan({**EIO, "file": "disk[0-9]", "offset": 4096, "length": 4096, "nth": 3})
    missing = [
        (Operation.ZERO, "disk1", 4096, 4096),
        (Operation.PUNCH, "disk", 4096, 4096),
        (Operation.PUNCH, "disk1", 0, 4096),
        (Operation.PUNCH, "disk1", 8192, 4096),
    ]
    touching = [
        (Operation.PUNCH, "disk1", 0, 4097),
        (Operation.PUNCH, "disk2", 8191, 1),
        (Operation.PUNCH, "disk3", 0, 1 << 40),
    ]
    assert [faults.strike(*request) for request in missing + touching[:2]] == [None] * 6
    assert faults.strike(*touching[2]) == Strike(FaultKind.ERROR, errno=errno.EIO)
    assert (faults.matched, faults.struck) == ([3], [1])


def test_the_first_fault_that_strikes_hides_the_request_from_those_behind_it() -> None:
    faults = plan({**EIO, "nth": 2}, {**EIO, "errno": "ENOSPC", "nth": 2})
    errnos = []
    for _ in range(4):
        strike = faults.strike(Operation.PUNCH, "a", 0, 1)
        errnos.append(strike.errno if strike else 0)
    assert errnos == [0, errno.EIO, errno.ENOSPC, 0]
    assert (faults.matched, faults.struck) == ([4, 3], [1, 1])


def test_any_counts_all_operations_together() -> None:
    faults = plan({"operation": "any", "action": "crash", "nth": 5})
    kinds = [faults.strike(operation, "a", 0, 1) for operation in STRUCK]
    assert [strike and strike.kind for strike in kinds] == [None] * 4 + [FaultKind.CRASH]
    assert faults.operations == frozenset(STRUCK)


def test_a_full_disk_takes_what_fits_and_nothing_more() -> None:
    faults = plan({"operation": "write", "action": "full", "bytes": 10000})
    sizes = [4096, 4096, 4096, 1808, 1]
    got = [faults.strike(Operation.WRITE, "a", 0, size) for size in sizes]
    assert [strike.errno if strike else 0 for strike in got] == [0, 0, errno.ENOSPC, 0, errno.ENOSPC]


def test_a_probability_strikes_its_share_and_the_same_requests_in_each_run() -> None:
    tenth = {**EIO, "probability": 0.1}
    first = struck(plan(tenth), 5000)
    assert 400 < len(first) < 600
    assert struck(plan(tenth), 5000) == first
    assert struck(plan({**tenth, "seed": 0}), 5000) == first
    assert struck(plan({**tenth, "seed": 1}), 5000) != first
    assert struck(plan({**EIO, "probability": 0}), 100) == []
    assert struck(plan({**EIO, "probability": 1}), 3) == [1, 2, 3]


def test_a_probability_begins_at_the_nth_match_and_ends_after_so_many_strikes() -> None:
    everything = struck(plan({**EIO, "probability": 0.3, "seed": 5}), 1000)
    later = [number for number in everything if number >= 50]
    assert struck(plan({**EIO, "probability": 0.3, "seed": 5, "nth": 50}), 1000) == later
    assert struck(plan({**EIO, "probability": 0.3, "seed": 5, "nth": 50, "times": 4}), 1000) == later[:4]


def test_two_faults_with_one_seed_strike_different_requests() -> None:
    both = plan(*[{**EIO, "probability": 0.5, "seed": 3}] * 2)
    struck(both, 400)
    # The second fault sees the requests that the first one lets through. With the first one's draws it would
    # strike none of them, or all.
    assert 50 < both.struck[1] < both.matched[1] - 50


def throttled(fault: dict[str, object], requests: list[tuple[float, int]]) -> list[float]:
    """Return the waits of writes that come at the given times with the given lengths."""
    now = 0.0
    faults = FaultPlan((Fault.from_json(fault, "fault"),), clock=lambda: now)
    waits = []
    for now, length in requests:  # noqa: B007  (the clock reads it)
        strike = faults.strike(Operation.WRITE, "a", 0, length)
        waits.append(0.0 if strike is None else strike.seconds)
    return waits


def test_a_throttled_request_waits_for_the_time_that_those_before_it_take() -> None:
    assert throttled(SLOW, [(0, 500), (0, 1000), (0.25, 100), (16, 125), (16, 1)]) == [0, 0.5, 1.25, 0, 0.125]
    by_count = {"operation": "any", "action": "throttle", "operations_per_second": 4}
    assert throttled(by_count, [(0, 1 << 30), (0, 0), (0.5, 0), (0.5, 0)]) == [0, 0.25, 0, 0.25]
    both = {**SLOW, "operations_per_second": 4}
    assert throttled(both, [(0, 1), (0, 2000), (0, 1)]) == [0, 0.25, 2.25]


def test_a_throttle_begins_at_the_nth_match_and_counts_a_strike_only_for_a_wait() -> None:
    assert throttled({**SLOW, "nth": 3}, [(0, 1000)] * 4) == [0, 0, 0, 1]
    faults = FaultPlan((Fault.from_json(SLOW, "fault"),), clock=lambda: 0.0)
    strikes = [faults.strike(Operation.WRITE, "a", 0, 1000) for _ in range(3)]
    assert [strike and strike.kind for strike in strikes] == [None, *[FaultKind.THROTTLE] * 2]
    assert (faults.matched, faults.struck) == ([3], [2])


def test_a_fault_that_was_written_out_is_read_as_the_same() -> None:
    for fault in (
        {**EIO, "probability": 0.25, "seed": 9},
        {**EIO, "probability": 0.25, "times": 1},
        {**SLOW, "nth": 2, "operations_per_second": 0.5},
    ):
        read = Fault.from_json(fault, "fault")
        assert Fault.from_json(read.to_json(), "fault") == read
        assert read.to_json() == fault


entries = st.fixed_dictionaries(
    {"operation": st.sampled_from(["punch", "any"]), "action": st.just("error"), "errno": st.just("EIO")},
    optional={
        "nth": st.integers(1, 5),
        "times": st.one_of(st.integers(1, 3), st.just("always")),
        "file": st.sampled_from(["a", "b", "*"]),
        "offset": st.integers(0, 100),
        "length": st.integers(1, 100),
    },
)
requests = st.tuples(
    st.sampled_from(Operation), st.sampled_from("ab"), st.integers(0, 150), st.integers(0, 100)
)


@given(st.lists(entries, min_size=1, max_size=4), st.lists(requests, max_size=40))
def test_the_same_plan_gives_the_same_run(
    faults: list[dict[str, object]], asked: list[tuple[Operation, str, int, int]]
) -> None:
    first = plan(*faults)
    again = FaultPlan.from_json(first.to_json())
    assert again.faults == first.faults
    assert [first.strike(*each) for each in asked] == [again.strike(*each) for each in asked]
    assert (first.matched, first.struck) == (again.matched, again.struck)
    for fault, matched, times in zip(first.faults, first.matched, first.struck, strict=True):
        wanted = (
            itertools.count(fault.nth)
            if fault.times == "always"
            else range(fault.nth, fault.nth + fault.times)
        )
        assert times == sum(1 for _ in itertools.takewhile(lambda number: number <= matched, wanted))  # noqa: B023

"""The engine produces the errors, counts, contents, mappings and host bytes recorded on Linux 6.1."""

from typing import Any

import pytest

from tests.thin.recorded_history import HISTORIES, Replay, parse_dump, records
from thinsim.thin.status import parse_pool_status


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record without the held root's number, which differs between two runs of the kernel."""
    status = parse_pool_status(record["pool"])
    kept = {name: value for name, value in record.items() if name != "pool"}
    kept["pool"] = (
        status.transaction_id,
        status.used_metadata,
        status.total_metadata,
        status.used_data,
        status.total_data,
        status.held_root is None,
        status.mode,
        status.discard,
        status.no_space,
        status.needs_check,
        status.metadata_low_watermark,
    )
    return kept


@pytest.mark.parametrize("seed", HISTORIES)
def test_a_recorded_history_gives_the_kernel_s_answers(seed: int) -> None:
    recorded = records(seed)
    operations = [record for record in recorded if "i" in record]
    replay = Replay(seed)
    answers = replay.answers()
    for expected, answer in zip(operations, answers, strict=True):
        if "err" in expected:
            expected["err"] = expected["err"].replace(f"hp{seed}", "POOL")
        if "table" not in expected:
            answer.pop("table", None)
        assert comparable(answer) == comparable(expected)
    assert replay.ram.problems() == []


@pytest.mark.parametrize("seed", HISTORIES)
def test_a_recorded_history_leaves_the_kernel_s_mappings(seed: int) -> None:
    dump = next(record for record in records(seed) if record["op"] == "thin_dump")
    replay = Replay(seed)
    replay.answers()
    assert replay.dump() == parse_dump(dump["xml"])

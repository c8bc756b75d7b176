"""The table of host file systems is made from measurements on mounted stores."""

import pytest

from tools import hosts_page
from tools.evidence_pages import measured_now
from tools.hosts_measuring import measure

MIB = 1 << 20


@pytest.mark.rig
def test_a_host_is_measured_by_a_store_on_it() -> None:
    [tmpfs] = measure(["tmpfs"])
    assert tmpfs["punches"] == [(16 * MIB, 16 * MIB), (MIB // 2, MIB // 2), (31 * MIB // 2, 31 * MIB // 2)]
    assert tmpfs["release"] == (4 * MIB, 4 * MIB)
    expected = {"unit": 4096, "exact": True, "allocate": "done", "zero": "EOPNOTSUPP", "handles": True}
    assert {key: tmpfs[key] for key in expected} == expected
    assert tmpfs["clone"] == ["EOPNOTSUPP", "EOPNOTSUPP"]
    assert tmpfs["tmpfile"] == ["done", "done"]
    assert tmpfs["printed"] == []


@pytest.mark.rig
def test_a_refused_host_is_measured_with_estimates() -> None:
    [overlay] = measure(["overlay on btrfs"])
    if "missing" in overlay:
        pytest.skip(str(overlay["missing"]))
    assert str(overlay["refused"]).startswith("DIRECTORY: overlayfs hides how the file system below it")
    assert overlay["exact"] is False


def test_a_row_shows_both_figures_where_they_differ() -> None:
    host = {
        "host": "a host",
        "punches": [(8, 8), (4, 0), (1, 2)],
        "release": (3, 3),
        "exact": False,
        "unit": 4096,
        "natively": True,
        "passthrough": "its reason",
        "handles": False,
        "allocate": "done",
        "zero": "EOPNOTSUPP",
        "overwrites_move": True,
        "clone": ["done", "EOPNOTSUPP"],
        "tmpfile": ["done", "EOPNOTSUPP"],
        "copy": "copied",
        "printed": ["MOUNTPOINT: a remark"],
        "refused": "DIRECTORY: a reason",
    }
    lines = hosts_page.page(measured_now("x", [host, {"host": "none", "missing": "needs it"}])).splitlines()
    assert "| a host | 8 | 4 (0) | 1 (2) | 3 | no |" in lines
    assert (
        "| a host | 4096 | yes | no | no | done | EOPNOTSUPP | yes | done / EOPNOTSUPP | done / EOPNOTSUPP "
        "| copied |" in lines
    )
    assert lines[-3:] == [
        "- **a host**: refused: DIRECTORY: a reason",
        "- **a host**: a remark",
        "- **none**: not measured, needs it",
    ]

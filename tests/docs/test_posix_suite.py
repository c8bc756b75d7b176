"""The POSIX suite finds no failure on a store that a plain directory of the same host does not have."""

import os
import shutil
from pathlib import Path

import pytest

from tools import posix_page
from tools.evidence_pages import measured_now
from tools.posix_suite import (
    KERNEL,
    ORIGIN,
    PLAIN,
    SERVER,
    SuiteResult,
    as_json,
    built,
    from_json,
    measured,
    more_failures,
    result_of,
    summary,
)

SOURCES = "THINSIM_PJDFSTEST"
"""The variable that names a clone of pjdfstest."""

PRINTED = """\
1..5
ok 1
not ok 2 - tried 'unlink a', expected 0, got EPERM
ok 3 # TODO it is known
not ok 4 # TODO it is known
""".splitlines()


def results() -> dict[str, dict[str, SuiteResult]]:
    good, bad = SuiteResult(2, 2), SuiteResult(2, 1, {"2": "tried 'unlink a'"})
    return {
        "unlink/00.t": {PLAIN: bad, KERNEL: bad, SERVER: bad},
        "unlink/01.t": {PLAIN: good, KERNEL: good, SERVER: bad},
    }


def test_a_test_without_a_result_has_failed() -> None:
    found = result_of(PRINTED)
    assert (found.planned, found.passed) == (5, 3)
    assert found.failed == {"2": "tried 'unlink a', expected 0, got EPERM", "5": "no result"}


def test_a_failure_of_the_plain_directory_counts_for_no_store() -> None:
    assert list(more_failures(results())) == [("unlink/01.t", SERVER, "2", "tried 'unlink a'")]
    lines = list(summary(results()))
    assert lines[0] == "plain directory: 3 of 4 tests passed, in 2 files"
    assert lines[-1].endswith("unlink/01.t test 2 fails, which the plain directory passes: tried 'unlink a'")


def test_results_are_read_as_they_were_written_and_make_a_page() -> None:
    assert from_json(as_json(results())) == results()
    document = {"commit": "0123456789abcdef", "files": as_json(results())}
    page = posix_page.page(measured_now("x", document))
    assert "| unlink | 2 | 3 of 4 | 3 of 4 | 2 of 4 |" in page
    assert "- `unlink/00.t`, plain directory: 2. The first: tried 'unlink a'" in page
    assert f"- `unlink/01.t`, {SERVER}: 2; the plain directory passes 2. The first: tried 'unlink a'" in page


@pytest.mark.rig
@pytest.mark.long
@pytest.mark.parametrize("kind", ["ext4", "xfs with reflink", "btrfs"])
@pytest.mark.parametrize("call", ["chmod/", "chown/", "link/", "mkdir/", "open/", "truncate/", "utimensat/"])
def test_a_store_passes_what_the_plain_directory_passes(kind: str, call: str, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl (apt-get install openssl)")
    if SOURCES not in os.environ:
        pytest.skip(f"needs a clone of pjdfstest: git clone {ORIGIN}, and its path in {SOURCES}")
    suite = built(os.environ[SOURCES], tmp_path / "suite", kind)
    found = measured(suite, kind, tmp_path, call)
    assert found
    assert list(more_failures(found)) == []

"""A mistake in a mark or a call is an error in thinsim's words, at the test's own line."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing.mistakes import CALLS, MARKS
from thinsim.testing.arguments import CHECKS
from thinsim.testing.fixtures import BackingStore, RigFixture, SnapshotterFixture, ThinPool


def shown_by_pytest(directory: Path, text: str, rig: str = "process") -> str:
    """Return the output of one pytest with the tests *text*: each pytest takes seconds."""
    (directory / "pytest.ini").write_text(f"[pytest]\nthinsim_rig = {rig}\naddopts = --strict-markers\n")
    (directory / "test_mistakes.py").write_text("import pytest\n\n" + text)
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={directory / 'inner'}"]
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "another exception" not in done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def shown_of_marks(tmp_path_factory: pytest.TempPathFactory) -> str:
    tests = (
        f"@pytest.mark.{mark}\ndef test_{number}(snapshotter):\n    raise AssertionError('not here')\n\n"
        for number, mark in enumerate(MARKS)
    )
    shown = shown_by_pytest(tmp_path_factory.mktemp("marks"), "".join(tests))
    assert f" {len(MARKS)} errors in " in shown.splitlines()[-1]
    return shown


@pytest.mark.parametrize("mark", MARKS)
def test_a_mistake_in_a_mark_is_an_error_in_one_line(shown_of_marks: str, mark: str) -> None:
    number = list(MARKS).index(mark)
    (title, line, _) = shown_of_marks.partition(f"ERROR at setup of test_{number} ")[2].split("\n", 2)
    assert title.strip(" _") == ""
    assert MARKS[mark] in line


def suite_of_calls(calls: list[str]) -> str:
    fixtures = "snapshotter, thin_pool, backing_store, assert_no_leak"
    snapshots = (
        "    snapshotter.import_layers('base', 1, 4096)\n"
        "    snapshotter.prepare('web', 'base-1')\n"
        "    snapshotter.write('web', 4096, 'log')\n"
    )
    return "".join(
        f"def test_{number}({fixtures}):\n{snapshots if 'snapshotter.' in call else ''}    {call}\n\n"
        for number, call in enumerate(calls)
    )


def error_of_call(shown: str, number: int, call: str) -> str:
    """Return the line of the error. It must follow the test's own line, without a line of thinsim between."""
    failure = shown.partition(f" test_{number} ___")[2].partition("\n____")[0]
    lines = failure.splitlines()
    (own,) = [place for place, line in enumerate(lines) if line == f">       {call}"]
    assert "site-packages" not in failure
    after = lines[own + 1 + lines[own + 1].strip().startswith("^")]
    assert after.startswith("E  "), failure
    return after


@pytest.fixture(scope="module")
def shown_of_calls(tmp_path_factory: pytest.TempPathFactory) -> str:
    shown = shown_by_pytest(tmp_path_factory.mktemp("calls"), suite_of_calls(list(CALLS)))
    assert f" {len(CALLS)} failed in " in shown.splitlines()[-1]
    return shown


@pytest.mark.parametrize("call", CALLS)
def test_a_mistake_in_a_call_is_an_error_at_the_test_s_own_line(shown_of_calls: str, call: str) -> None:
    assert CALLS[call] in error_of_call(shown_of_calls, list(CALLS).index(call), call)


@pytest.mark.rig
def test_the_errors_of_a_real_file_system_are_explained_as_well(tmp_path: Path) -> None:
    calls = ["snapshotter.write('web', 1, 'log')", "snapshotter.delete('web', 'data')"]
    shown = shown_by_pytest(tmp_path, suite_of_calls(calls), "emulated")
    for number, call in enumerate(calls):
        assert CALLS[call] in error_of_call(shown, number, call)


@pytest.mark.parametrize("kind", [ThinPool, BackingStore, SnapshotterFixture])
def test_every_argument_of_a_fixture_has_a_check(kind: type) -> None:
    for member, method in inspect.getmembers(kind, inspect.isfunction):
        parameters = [] if member.startswith("_") else list(inspect.signature(method).parameters)[1:]
        assert set(parameters) <= {*CHECKS, "faults"}, f"{kind.__name__}.{member}"
        assert member.startswith("_") or hasattr(method, "__wrapped__")


def test_the_argument_of_assert_no_leak_has_a_check() -> None:
    assert hasattr(RigFixture.assert_no_leak, "__wrapped__")

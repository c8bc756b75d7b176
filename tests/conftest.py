"""Every test leaves the machine as it was; a test that lacks something is skipped with the reason."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse_transports import TRANSPORTS
from tests.fuse_transports import missing_for as missing_for_transport
from tests.host_file_systems import has_extents, host_file_system, missing_for
from tests.machine_state import MachineState, mounted_or_attached, swept
from tests.report.browser import CHROMIUM
from tests.turns import turn
from thinsim.machine.fuse_transport import VARIABLE
from thinsim.machine.journal import Journal
from thinsim.rig.registry import probe_machine

_FOUND = pytest.StashKey[MachineState]()
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
_LEFT = pytest.StashKey[list[str]]()
_OWN = pytest.StashKey[list[Path]]()
_LAYOUT = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM")
"""Variables of the caller's shell that would change what commands print."""


def pytest_configure(config: pytest.Config) -> None:
    # A background job of a script begins with SIGINT ignored, and passes that on to its processes.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in _LAYOUT:
        os.environ.pop(name, None)
    # In a guest the project's directory is read-only, and hypothesis keeps its examples there.
    if not os.access(config.rootpath, os.W_OK):
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{tempfile.gettempdir()}/hypothesis")
    if config.getoption("numprocesses", None) and not _shared():
        config.stash[_FOUND] = MachineState.now()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    findings = probe_machine(Path(tempfile.gettempdir()))
    for marker, rig in (("rig", "emulated"), ("kernel", "kernel")):
        lacks = [finding for finding in findings if not finding.present and rig in finding.needed_by]
        reason = "; ".join(f"{lack.name}: {lack.detail} (fix: {lack.fix})" for lack in lacks)
        for item in items if lacks else ():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    for item in () if os.geteuid() == 0 else items:
        for marker in item.iter_markers("root"):
            item.add_marker(pytest.mark.skip(reason=f"needs root: {marker.args[0]}"))
    for item in () if CHROMIUM else items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no chromium in PATH (fix: apt-get install chromium)"))
    for item in items:
        if _is_over_io_uring(item) and item.path.name not in _OVER_IO_URING_EACH_TIME:
            item.add_marker("long")
    for item in () if os.environ.get("THINSIM_LONG_TESTS") else items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long: make test-long"))


_OVER_IO_URING_EACH_TIME = {
    "test_backing_discards.py",
    "test_backing_loop.py",
    "test_backing_session.py",
    "test_backing_uring.py",
    "test_dm_contract.py",
    "test_dm_order.py",
}
"""The other tests of stores and device-mappers run over io_uring with ``make test-long``."""


def _is_over_io_uring(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    values = map(str, item.callspec.params.values())
    return any(value == "io_uring" or value.endswith(" over io_uring") for value in values)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if not _beside_others():
        return (yield)
    # xdist gives each worker a directory below the run's own.
    directory = Path(item.config.getoption("basetemp")).parent
    with turn(directory, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(params=TRANSPORTS)
def fuse_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test over each way of FUSE's requests, and return its name."""
    missing = missing_for_transport(request.param)
    if missing is not None:
        pytest.skip(missing)
    monkeypatch.setenv(VARIABLE, TRANSPORTS[request.param])
    return str(request.param)


@pytest.fixture(autouse=True)
def _nothing_is_left_in_its_directory(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unmount and detach what a test left in its directory, so that a test that fails disturbs no other."""
    own = request.node.stash.setdefault(_OWN, [])
    yield
    left = [name for directory in own if mounted_or_attached(directory) for name in swept(directory)]
    assert not left, "left by the test: " + "; ".join(left)


@pytest.fixture
def tmp_path(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """Yield pytest's own directory, or one on an ext4 if the test needs extents and /tmp has none."""
    own = request.node.stash.setdefault(_OWN, [])
    own.append(tmp_path)
    if request.node.get_closest_marker("extents") is None or has_extents(tmp_path):
        yield tmp_path
        return
    missing = missing_for("ext4")
    if missing is not None:
        pytest.skip(f"{tmp_path} has no FIEMAP or no zero ranges; an ext4 {missing} (fix: TMPDIR on ext4)")
    base = tmp_path_factory.mktemp("ext4")
    own.append(base)
    with host_file_system("ext4", base) as host:
        yield host.directory


@pytest.fixture(autouse=True)
def _signals_are_left_as_found() -> Iterator[None]:
    """Check that no signal stays ignored. The processes of later tests would ignore it as well."""
    before = [signal.getsignal(number) for number in _ENDING]
    yield
    assert [signal.getsignal(number) for number in _ENDING] == before


@pytest.fixture(scope="session", autouse=True)
def _machine_is_left_as_found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = MachineState.now()
    # The journals of the tests must not mix with the journals of real runs.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THINSIM_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield
    after = MachineState.now()
    if _shared() or _beside_others():
        # Others test here at the same time: look only at names with this session's own directory.
        after = after.below(tmp_path_factory.getbasetemp())
    left = after.left_since(before)
    assert not left, "left on the machine: " + "; ".join(left)


@pytest.fixture
def journal(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """Create the journal of a run in a state directory of its own."""
    monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    journal = Journal.create()
    yield journal
    journal.close()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look at the whole machine when the workers have ended. Each worker looked only at its own directory."""
    found = session.config.stash.get(_FOUND, None)
    left = MachineState.now().left_since(found) if found else []
    session.config.stash[_LEFT] = left
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name in config.stash.get(_LEFT, []):
        terminalreporter.write_line(f"left on the machine: {name}", red=True)


def _shared() -> bool:
    return bool(os.environ.get("THINSIM_SHARED_MACHINE"))


def _beside_others() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ

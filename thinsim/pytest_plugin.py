"""Gives pytest the fixtures ``thin_pool``, ``backing_store``, ``snapshotter``, ``assert_no_leak``; and marks.

Each test that takes one has a fresh pool; after the test the metadata checker must find nothing, and
nothing is left on the machine. Loaded by every pytest where thinsim is installed, so it imports the
rest of thinsim in the fixtures alone.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from thinsim.testing.fixtures import BackingStore, RigFixture, SnapshotterFixture, ThinPool

_MARKS = (
    "thin_pool(data_size, metadata_size, block_size, features): the pool to stand up; sizes as 64KiB",
    "snapshotter(discard_blocks, async_remove, fs_type, ...): keys of the snapshotter for this test",
    "no_leak: fail the test if a byte is allocated on the host at its end that no mapping needs",
)
_AUTO = "auto"
"""The registry's word: it is not imported where no rig is named."""

_CHECK = pytest.StashKey[Callable[[], None]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--thinsim-rig`` and ``--thinsim-config``, also as ini options with underscores."""
    group = parser.getgroup("thinsim", "thin pools (thinsim)")
    group.addoption(
        "--thinsim-rig", help="auto, or a rig of this machine (thinsim doctor lists their needs)."
    )
    group.addoption("--thinsim-config", help="The snapshotter's TOML, containerd's config.toml for instance.")
    parser.addini("thinsim_rig", "default of --thinsim-rig", default=_AUTO)
    parser.addini("thinsim_config", "default of --thinsim-config, relative to the ini-file", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known; a wrong command line, or ini-file, where the rig is none."""
    for mark in _MARKS:
        config.addinivalue_line("markers", mark)
    rig = _rig(config)
    if rig != _AUTO:
        from thinsim.errors import InvalidValueError  # noqa: PLC0415 (where one is named)
        from thinsim.testing.fixtures import check_rig  # noqa: PLC0415

        try:
            check_rig(rig)
        except InvalidValueError as error:
            where = "--thinsim-rig" if config.getoption("--thinsim-rig") else "thinsim_rig in the ini-file"
            raise pytest.UsageError(f"{where}: {error}") from error


def _rig(config: pytest.Config) -> str:
    rig: str = config.getoption("--thinsim-rig") or config.getini("thinsim_rig")
    return rig


_POOL_FIXTURES = "thin_pool, backing_store, snapshotter, assert_no_leak"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Check for leaks at the end of a test marked ``no_leak``: as a failure of it, not of its tear-down."""
    result = yield
    check = item.stash.get(_CHECK, None)
    if check is not None:
        leaks = ""
        try:
            check()
        except AssertionError as error:
            leaks = str(error)
        if leaks:
            pytest.fail(leaks, pytrace=False)  # no line of the test failed, and none of ours is of interest
    return result


@pytest.fixture(autouse=True)
def _thinsim_no_leak(request: pytest.FixtureRequest) -> None:
    mark = request.node.get_closest_marker("no_leak")
    if mark:
        if mark.args or mark.kwargs:
            pytest.fail("no_leak: takes nothing; assert_no_leak(at_most=BYTES) does", pytrace=False)
        if "thinsim_bench" not in request.fixturenames:
            pytest.fail(f"no_leak: the test has no pool; take one of {_POOL_FIXTURES}", pytrace=False)
        request.node.stash[_CHECK] = request.getfixturevalue("assert_no_leak")


@pytest.fixture
def thinsim_bench(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[RigFixture]":
    """The rig, with the pool standing and the snapshotter not yet started."""
    from thinsim.errors import ThinsimError  # noqa: PLC0415 (not when pytest starts)
    from thinsim.testing.fixtures import RigFixture, rig_portal  # noqa: PLC0415

    failure = ""
    try:
        portal = rig_portal(_rig(request.config), _mark(request, "thin_pool"), _keys(request), tmp_path)
        with portal:
            fixture = RigFixture(portal)
            yield fixture
            problems = fixture.check()
        if problems:
            failure = "the metadata checker found: " + "; ".join(problems)
    except (ThinsimError, ValueError) as error:
        failure = f"thinsim: {error}"
    if failure:  # not where the error is handled: pytest would show it a second time
        pytest.fail(failure, pytrace=False)


@pytest.fixture
def thin_pool(thinsim_bench: "RigFixture") -> "ThinPool":
    """A thin pool; shaped by ``@pytest.mark.thin_pool``."""
    return thinsim_bench.thin_pool


@pytest.fixture
def backing_store(thinsim_bench: "RigFixture") -> "BackingStore":
    """The host's file below the pool: what is allocated, what was given back, planned faults."""
    return thinsim_bench.backing_store


@pytest.fixture
def snapshotter(thinsim_bench: "RigFixture") -> "SnapshotterFixture":
    """A snapshotter on the pool: keys of ``--thinsim-config``, then those of ``@pytest.mark.snapshotter``."""
    return thinsim_bench.snapshotter()


@pytest.fixture
def assert_no_leak(thinsim_bench: "RigFixture") -> "Callable[..., None]":
    """Call it, with *at_most* bytes perhaps: AssertionError names every leak's owner and reason."""
    return thinsim_bench.assert_no_leak


def _keys(request: pytest.FixtureRequest) -> dict[str, Any]:
    from thinsim.testing.fixtures import config_keys  # noqa: PLC0415

    keys: dict[str, Any] = {"base_image_size": "256MB"}
    config = request.config
    given = config.getoption("--thinsim-config")
    stated = config.getini("thinsim_config")
    if given:
        keys |= config_keys(config.invocation_params.dir / given)
    elif stated:
        keys |= config_keys((config.inipath.parent if config.inipath else config.rootpath) / stated)
    return keys | _mark(request, "snapshotter")


def _mark(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """Return what all marks of that name are given, the closest one's last. ValueError: without a key."""
    marks = list(request.node.iter_markers(name))
    nameless = [repr(value) for mark in marks for value in mark.args]
    if nameless:
        raise ValueError(f"mark {name}: {', '.join(nameless)} without a key; arguments are KEY=VALUE")
    return {key: value for mark in reversed(marks) for key, value in mark.kwargs.items()}

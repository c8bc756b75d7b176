"""The plugin provides the fixtures ``thin_pool``, ``backing_store``, ``snapshotter`` and ``assert_no_leak``.

Each test that uses one of them has a fresh pool. After the test the metadata checker must find no fault, and
nothing is left on the machine. Every pytest loads this module where thinsim is installed, so it imports the
rest of thinsim inside the fixtures only.
"""

from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from thinsim.testing.fixtures import BackingStore, RigFixture, SnapshotterFixture, ThinPool

_MARKS = (
    "thin_pool(data_size, metadata_size, block_size, features): shape of the test's pool; sizes like 64KiB",
    "snapshotter(discard_blocks, async_remove, fs_type, ...): settings of the test's snapshotter",
    "no_leak(at_most=0): the test fails if more bytes are allocated at its end than the pool needs",
)
_AUTO = "auto"
"""The registry's word for the best rig. The registry is not imported unless a test names a rig."""

_CHECK = pytest.StashKey[Callable[[], None]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options ``--thinsim-rig`` and ``--thinsim-config``, and their ini options with underscores."""
    group = parser.getgroup("thinsim", "thin pools (thinsim)")
    group.addoption(
        "--thinsim-rig", help="The rig of the tests' pools: auto, or one that thinsim doctor lists."
    )
    group.addoption(
        "--thinsim-config", help="The snapshotter's settings: a TOML file, such as containerd's config.toml."
    )
    group.addoption(
        "--thinsim-no-leak",
        action="store_true",
        help="Check each test that has a pool for leaks, as if it had the mark no_leak.",
    )
    parser.addini("thinsim_rig", "The default of --thinsim-rig.", default=_AUTO)
    parser.addini(
        "thinsim_config", "The default of --thinsim-config; a path is relative to the ini-file.", default=""
    )
    parser.addini(
        "thinsim_no_leak", "The default of --thinsim-no-leak: true or false.", type="bool", default=False
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and check the rig's name. UsageError for a name that is no rig."""
    for mark in _MARKS:
        config.addinivalue_line("markers", mark)
    rig = _rig(config)
    if rig != _AUTO:
        from thinsim.errors import InvalidValueError  # noqa: PLC0415 (only if a rig is named)
        from thinsim.testing.settings import check_rig  # noqa: PLC0415

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
    """Check for leaks at the end of a test marked ``no_leak``, so that the test itself fails."""
    result = yield
    check = item.stash.get(_CHECK, None)
    if check is not None:
        from thinsim.errors import ThinsimError  # noqa: PLC0415 (pytest must start fast)

        failure = ""
        try:
            check()
        except AssertionError as error:
            failure = str(error)
        except ThinsimError as error:
            failure = f"thinsim: {error}"
        if failure:
            # No line of the test failed, and the plugin's own lines do not matter.
            pytest.fail(failure, pytrace=False)
    return result


@pytest.fixture(autouse=True)
def _thinsim_no_leak(request: pytest.FixtureRequest) -> None:
    mark = request.node.get_closest_marker("no_leak")
    at_most = _at_most(mark) if mark else 0
    has_pool = "thinsim_bench" in request.fixturenames
    if mark and not has_pool:
        pytest.fail(
            f"mark no_leak: the test has no pool (fix: use one of the fixtures {_POOL_FIXTURES})",
            pytrace=False,
        )
    config = request.config
    every = config.getoption("--thinsim-no-leak") or config.getini("thinsim_no_leak")
    if has_pool and (mark or every):
        check = request.getfixturevalue("assert_no_leak")
        request.node.stash[_CHECK] = partial(check, at_most=at_most)


def _at_most(mark: pytest.Mark) -> int:
    """Return the bytes that may leak in a test with the mark ``no_leak``. The test fails for a wrong mark."""
    from thinsim.did_you_mean import unknown_name  # noqa: PLC0415
    from thinsim.scenario.file.values import size_of  # noqa: PLC0415

    unknown = [key for key in mark.kwargs if key != "at_most"]
    if mark.args:
        failure = f"{mark.args[0]!r} has no key (fix: write no_leak(at_most={mark.args[0]!r}))"
    elif unknown:
        failure = unknown_name("key", unknown[0], ["at_most"])
    else:
        try:
            return size_of(mark.kwargs.get("at_most", 0))
        except ValueError as error:
            failure = f"at_most: {error}"
    pytest.fail(f"mark no_leak: {failure}", pytrace=False)


@pytest.fixture
def thinsim_bench(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[RigFixture]":
    """Provide the rig with its pool. The snapshotter is not started yet."""
    from thinsim.errors import ThinsimError  # noqa: PLC0415 (pytest must start fast)
    from thinsim.testing.fixtures import RigFixture  # noqa: PLC0415
    from thinsim.testing.settings import rig_portal  # noqa: PLC0415

    failure = ""
    try:
        portal = rig_portal(_rig(request.config), _mark(request, "thin_pool"), _keys(request), tmp_path)
        with portal:
            fixture = RigFixture(portal)
            pool = fixture.thin_pool
            request.node.add_report_section("setup", "thinsim", f"pool {pool.name} on rig {pool.rig}")
            yield fixture
            problems = fixture.check()
        if problems:
            failure = "the metadata checker found: " + "; ".join(problems)
    except (ThinsimError, ValueError) as error:
        failure = f"thinsim: {error}"
    except OSError as error:
        failure = f"thinsim: the pool failed: {error}"
    if failure:  # outside the handler, because pytest would show the error twice
        pytest.fail(failure, pytrace=False)


@pytest.fixture
def thin_pool(thinsim_bench: "RigFixture") -> "ThinPool":
    """Provide a thin pool. ``@pytest.mark.thin_pool`` sets its shape."""
    return thinsim_bench.thin_pool


@pytest.fixture
def backing_store(thinsim_bench: "RigFixture") -> "BackingStore":
    """Provide the host's file below the pool: allocated bytes, freed bytes, planned faults."""
    return thinsim_bench.backing_store


@pytest.fixture
def snapshotter(thinsim_bench: "RigFixture") -> "SnapshotterFixture":
    """Provide a snapshotter on the pool.

    Its settings are those of ``--thinsim-config``, then those of ``@pytest.mark.snapshotter``.
    """
    return thinsim_bench.snapshotter()


@pytest.fixture
def assert_no_leak(thinsim_bench: "RigFixture") -> "Callable[..., None]":
    """Provide a function that fails the test if more than *at_most* bytes leak, 0 by default.

    Its AssertionError names the owner and the reason of every leak.
    """
    return thinsim_bench.assert_no_leak


def _keys(request: pytest.FixtureRequest) -> dict[str, Any]:
    from thinsim.testing.settings import config_keys  # noqa: PLC0415

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
    """Return the keys of all marks *name*; the closest mark wins. ValueError for a value without a key."""
    marks = list(request.node.iter_markers(name))
    nameless = [repr(value) for mark in marks for value in mark.args]
    if nameless:
        raise ValueError(f"mark {name}: {', '.join(nameless)} has no key (fix: write KEY=VALUE)")
    return {key: value for mark in reversed(marks) for key, value in mark.kwargs.items()}

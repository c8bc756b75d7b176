"""The plugin's fixtures and marks, in a pytest of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from thinsim.machine.state import STATE_VARIABLE

pytest_plugins = ["pytester"]


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nthinsim_rig = process\naddopts = --strict-markers\n")
    return pytester


def test_the_fixtures_show_one_pool_from_all_sides(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import pytest

        @pytest.mark.thin_pool(data_size="64MiB", block_size="128KiB")
        @pytest.mark.snapshotter(discard_blocks=True, base_image_size="32MiB")
        def test_all(thin_pool, backing_store, snapshotter, assert_no_leak):
            assert thin_pool.rig == "process"
            assert thin_pool.block_bytes == 128 << 10
            assert thin_pool.status.total_data == 512
            snapshotter.import_layers("base", 1, 1 << 20)
            assert snapshotter.names() == ["base-1"]
            snapshotter.prepare("a", "base-1")
            (mount,) = snapshotter.mounts("a")
            assert mount.type == "ext4"
            snapshotter.write("a", 1 << 20)
            assert snapshotter.usage("a") >= 1 << 20
            assert thin_pool.used == backing_store.allocated
            assert len(thin_pool.mappings()) == 2
            snapshotter.remove("a")
            assert_no_leak()
            assert backing_store.punches == len(backing_store.events()) > 0
            assert backing_store.freed >= 1 << 20
            thin_pool.message("create_thin 7")
            assert 7 in thin_pool.mappings()
            thin_pool.message("delete 7")
        """
    )
    inner.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_leak_fails_the_marked_test_and_names_its_owner(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import pytest

        def use(snapshotter):
            snapshotter.prepare("web")
            snapshotter.write("web", 1 << 20)
            snapshotter.remove("web")

        @pytest.mark.no_leak
        def test_marked(snapshotter):
            use(snapshotter)

        def test_not_marked(snapshotter):
            use(snapshotter)

        def test_some_is_allowed(snapshotter, assert_no_leak):
            use(snapshotter)
            assert_no_leak(at_most=2 << 20)

        @pytest.mark.snapshotter(discard_blocks=True)
        def test_a_lying_store(snapshotter, backing_store, assert_no_leak):
            backing_store.set_faults({"operation": "punch", "action": "lie", "times": "always"})
            use(snapshotter)
            with pytest.raises(AssertionError, match="the store below kept it"):
                assert_no_leak()
        """
    )
    done = inner.runpytest_subprocess()
    done.assert_outcomes(passed=3, failed=1)
    done.stdout.fnmatch_lines(
        [
            "1310720 bytes leaked, but at most 0 may leak:",
            "  web: 1310720 bytes in 20 blocks, leaked by 'remove web': deleted without discard*",
        ]
    )
    assert "pytest_plugin.py" not in done.stdout.str()


def test_a_refusal_is_shown_at_the_test_s_own_line_and_nothing_of_what_is_below(
    inner: pytest.Pytester,
) -> None:
    inner.makepyfile(
        "def test_it(snapshotter):\n    snapshotter.remove('gone')\n\n"
        "def test_fault(backing_store):\n    backing_store.set_faults({'action': 'explode'})\n"
    )
    done = inner.runpytest_subprocess()
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines([">       snapshotter.remove('gone')", "E  *snapshot 'gone' does not exist"])
    done.stdout.fnmatch_lines([">       backing_store.set_faults(*", "E  *FaultPlanError: fault 1: *"])
    shown = done.stdout.str().partition("FAILURES")[2]
    assert "trio" not in shown
    assert "faults.py" not in shown


def test_a_mark_that_looks_at_no_pool_is_an_error(inner: pytest.Pytester) -> None:
    inner.makepyfile("import pytest\n\n@pytest.mark.no_leak\ndef test_it(): pass\n")
    done = inner.runpytest_subprocess()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["no_leak: the test has no pool (fix: use one of the fixtures thin_pool, *"])


def test_the_config_file_of_containerd_is_taken_and_a_mark_goes_before_it(
    inner: pytest.Pytester, tmp_path: Path
) -> None:
    inner.makefile(
        ".toml",
        config="""
        [plugins."io.containerd.snapshotter.v1.devmapper"]
        pool_name = "p"
        root_path = "/nowhere"
        base_image_size = "16MiB"
        discard_blocks = true
        """,
    )
    inner.makepyfile(
        """
        import pytest

        def test_file(snapshotter):
            assert snapshotter.config.discard_blocks
            assert snapshotter.config.base_image_size == "16MiB"

        @pytest.mark.snapshotter(discard_blocks=False)
        def test_mark(snapshotter):
            assert not snapshotter.config.discard_blocks
        """
    )
    inner.runpytest_subprocess("--thinsim-config=config.toml").assert_outcomes(passed=2)


MISTAKES = {
    "thin_pool(data_sise='1G')": "thinsim: pool: data_sise: Extra inputs are not permitted",
    "thin_pool(data_size='1GB!')": "thinsim: pool: data_size: invalid size: '1GB!': 'GB!' is not a unit (",
    "thin_pool('1GiB')": "thinsim: mark thin_pool: '1GiB' has no key (fix: write KEY=VALUE)",
    "snapshotter('discard_blocks')": "thinsim: mark snapshotter: 'discard_blocks' has no key ",
    "no_leak(at_most=100)": "no_leak takes no arguments (fix: call assert_no_leak(at_most=BYTES) in",
    "snapshotter(discard_blocks=3)": "discard_blocks must be true or false, not 3",
}


@pytest.fixture(scope="module")
def said_of_mistakes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the output of one pytest with a mistake in the mark of every test: each pytest takes seconds."""
    directory = tmp_path_factory.mktemp("mistakes")
    (directory / "pytest.ini").write_text("[pytest]\nthinsim_rig = process\naddopts = --strict-markers\n")
    (directory / "test_mistakes.py").write_text(
        "import pytest\n\n"
        + "".join(
            f"@pytest.mark.{mark}\ndef test_{number}(snapshotter):\n    raise AssertionError('not here')\n\n"
            for number, mark in enumerate(MISTAKES)
        )
    )
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={directory / 'inner'}"]
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f" {len(MISTAKES)} errors in " in done.stdout.splitlines()[-1]
    return done.stdout


@pytest.mark.parametrize("mark", MISTAKES)
def test_a_mistake_in_a_mark_is_an_error_in_one_line(said_of_mistakes: str, mark: str) -> None:
    number = list(MISTAKES).index(mark)
    (title, line, _) = said_of_mistakes.partition(f"ERROR at setup of test_{number}")[2].split("\n", 2)
    assert title.strip(" _") == ""
    assert MISTAKES[mark] in line
    assert "another exception" not in said_of_mistakes


@pytest.mark.parametrize("where", ["--thinsim-rig", "thinsim_rig in the ini-file"])
def test_an_unknown_rig_is_one_error_and_no_test_runs(inner: pytest.Pytester, where: str) -> None:
    inner.makepyfile("def test_it(thin_pool): pass\n")
    if "ini" in where:
        inner.makeini("[pytest]\nthinsim_rig = moon\n")
    done = inner.runpytest_subprocess(*(() if "ini" in where else ["--thinsim-rig=moon"]))
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    complaint = f"ERROR: {where}: rig 'moon' does not exist; there are: auto, kernel, emulated, process"
    assert complaint in done.stderr.str()


def test_the_next_pytest_cleans_up_after_a_killed_one(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(inner.path / "state"))
    inner.makepyfile(
        test_killed="import os, signal\ndef test_it(snapshotter): os.kill(os.getpid(), signal.SIGKILL)\n",
        test_next="def test_it(thin_pool): pass\n",
    )
    killed = inner.path / "killed"
    assert inner.runpytest_subprocess("test_killed.py", f"--basetemp={killed}").ret == -9
    (left,) = (killed / "test_it0").iterdir()
    inner.runpytest_subprocess("test_next.py", f"--basetemp={inner.path / 'next'}").assert_outcomes(passed=1)
    assert not left.exists()

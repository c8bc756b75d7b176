"""The plugin's fixtures and marks, in a pytest of their own."""

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
            "1.2 MiB (1310720 bytes) leaked, but at most 0 bytes may leak:",
            "  web (thin 1): 1.2 MiB (1310720 bytes in 20 blocks), leaked by 'remove web': *",
            "    1 MiB in blocks that 'write data in web' took: 1 MiB of files",
            "    256 KiB in blocks that 'prepare web' took: the file system's own structures",
            "pool thinsim-* on rig process",
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
    done.stdout.fnmatch_lines([">       snapshotter.remove('gone')", "E  *snapshot 'gone' does not exist; *"])
    done.stdout.fnmatch_lines([">       backing_store.set_faults(*", "E  *FaultPlanError: fault 1: *"])
    shown = done.stdout.str().partition("FAILURES")[2]
    assert "trio" not in shown
    assert "faults.py" not in shown


def test_a_mark_that_looks_at_no_pool_is_an_error(inner: pytest.Pytester) -> None:
    inner.makepyfile("import pytest\n\n@pytest.mark.no_leak\ndef test_it(): pass\n")
    done = inner.runpytest_subprocess()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        ["mark no_leak: the test has no pool (fix: use one of the fixtures thin_pool, *"]
    )


@pytest.mark.rig
def test_a_leak_on_a_real_file_system_names_its_structures(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import pytest

        @pytest.mark.no_leak
        @pytest.mark.snapshotter(base_image_size="64MiB")
        def test_it(snapshotter):
            snapshotter.prepare("web")
            snapshotter.write("web", "2MiB")
            snapshotter.remove("web")
        """
    )
    done = inner.runpytest_subprocess("--thinsim-rig=emulated")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "    * MiB in blocks that 'prepare web' took: the file system's own structures "
            "(ext4's superblocks, journal and inode tables)",
            "pool thinsim-* on rig emulated",
        ]
    )
    done.stdout.fnmatch_lines(["    * MiB in blocks that 'write data in web' took: *2 MiB of files*"])


LEAKS = """
import pytest

def use(snapshotter):
    snapshotter.prepare("web")
    snapshotter.remove("web")

def test_leaks(snapshotter):
    use(snapshotter)

@pytest.mark.no_leak(at_most="1MiB")
def test_may_leak(snapshotter):
    use(snapshotter)

@pytest.mark.no_leak(at_most=4096)
def test_may_leak_less(snapshotter):
    use(snapshotter)

def test_has_no_pool():
    pass
"""


@pytest.mark.parametrize(
    ("option", "setting", "failed"),
    [([], "false", 1), (["--thinsim-no-leak"], "false", 2), ([], "true", 2)],
    ids=["neither", "option", "ini"],
)
def test_every_test_with_a_pool_may_be_checked_for_leaks(
    inner: pytest.Pytester, option: list[str], setting: str, failed: int
) -> None:
    inner.makepyfile(LEAKS)
    done = inner.runpytest_subprocess(*option, "-o", f"thinsim_no_leak={setting}")
    done.assert_outcomes(passed=4 - failed, failed=failed)
    done.stdout.fnmatch_lines(["256 KiB (262144 bytes) leaked, but at most 4 KiB (4096 bytes) may leak:"])


def test_two_workers_of_xdist_share_the_tests(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        LEAKS
        + """
@pytest.mark.parametrize("number", range(4))
def test_worker(snapshotter, worker_id, number):
    use(snapshotter)
    raise AssertionError(f"ran in {worker_id}")
"""
    )
    done = inner.runpytest_subprocess("-n2", "--thinsim-no-leak")
    done.assert_outcomes(passed=2, failed=6)
    shown = done.stdout.str()
    assert "ran in gw0" in shown
    assert "ran in gw1" in shown
    assert shown.count("pool thinsim-") == 6
    assert "256 KiB (262144 bytes) leaked, but at most 0 bytes may leak:" in shown


@pytest.mark.rig
def test_two_workers_of_xdist_have_pools_on_real_mounts(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import pytest

        @pytest.mark.no_leak
        @pytest.mark.snapshotter(discard_blocks=True, base_image_size="64MiB")
        @pytest.mark.parametrize("number", range(2))
        def test_it(snapshotter, number):
            snapshotter.prepare("web")
            snapshotter.remove("web")
        """
    )
    inner.runpytest_subprocess("-n2", "--thinsim-rig=emulated").assert_outcomes(passed=2)


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


@pytest.mark.parametrize("where", ["--thinsim-rig", "thinsim_rig in the ini-file"])
def test_an_unknown_rig_is_one_error_and_no_test_runs(inner: pytest.Pytester, where: str) -> None:
    inner.makepyfile("def test_it(thin_pool): pass\n")
    if "ini" in where:
        inner.makeini("[pytest]\nthinsim_rig = moon\n")
    done = inner.runpytest_subprocess(*(() if "ini" in where else ["--thinsim-rig=moon"]))
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    complaint = f"ERROR: {where}: rig 'moon' does not exist; there are: auto, kernel, emulated, process"
    assert complaint in done.stderr.str()


def test_the_rig_of_a_guest_is_an_error_that_names_the_others(inner: pytest.Pytester) -> None:
    done = inner.runpytest_subprocess("--thinsim-rig=vm")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    complaint = "rig 'vm' runs in a guest, but the pool of a test is on this machine (fix: use one of auto, "
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

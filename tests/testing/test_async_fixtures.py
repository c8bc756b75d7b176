"""The fixtures work in async tests, under each plugin that runs them and on each event loop."""

import pytest

from tests.testing.async_suites import SUITES

pytest_plugins = ["pytester"]


def run_suite(pytester: pytest.Pytester, plugin: str, rig: str, *options: str) -> pytest.RunResult:
    suite = SUITES[plugin]
    pytester.makepyfile(suite.text)
    return pytester.runpytest_subprocess(*suite.alone, f"--thinsim-rig={rig}", *options)


@pytest.mark.parametrize("plugin", SUITES)
def test_async_tests_use_the_fixtures(pytester: pytest.Pytester, plugin: str) -> None:
    done = run_suite(pytester, plugin, "process")
    done.assert_outcomes(passed=4, failed=1)
    done.stdout.fnmatch_lines(
        ["*bytes) leaked, but at most 0 bytes may leak:", "  web (thin 1): *'remove web'*"]
    )


@pytest.mark.rig
@pytest.mark.parametrize("plugin", SUITES)
def test_async_tests_use_the_fixtures_on_real_mounts(pytester: pytest.Pytester, plugin: str) -> None:
    run_suite(pytester, plugin, "emulated", "-k", "plain or during").assert_outcomes(passed=2)


def test_async_tests_of_all_plugins_are_in_one_project(pytester: pytest.Pytester) -> None:
    for number, suite in enumerate(SUITES.values()):
        (pytester.path / f"test_suite_{number}.py").write_text(suite.text)
    done = pytester.runpytest_subprocess(
        "--thinsim-rig=process", "-k", "plain", "-o", "asyncio_default_fixture_loop_scope=function"
    )
    done.assert_outcomes(passed=4)


def test_calls_from_several_threads_follow_one_another(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from concurrent.futures import ThreadPoolExecutor

        def test_it(snapshotter, backing_store, assert_no_leak):
            def use(number):
                snapshotter.prepare(f"web-{number}")
                snapshotter.write(f"web-{number}", "256KiB")
                snapshotter.remove(f"web-{number}")

            with ThreadPoolExecutor(4) as threads:
                list(threads.map(use, range(8)))
            leaks = backing_store.leaks()
            assert {(leak.owner.snapshot, leak.owner.operation) for leak in leaks} <= {
                (f"web-{number}", f"remove web-{number}") for number in range(8)
            }
        """
    )
    pytester.runpytest_subprocess("--thinsim-rig=process").assert_outcomes(passed=1)

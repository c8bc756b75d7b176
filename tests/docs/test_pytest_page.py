"""The guide to pytest shows tests that pass, the real text of a failure, and calls that exist."""

import re
from pathlib import Path

import pytest

from tests.docs.shown_output import missing
from tests.repository import REPOSITORY

pytest_plugins = ["pytester"]

PAGE = (REPOSITORY / "docs" / "howto" / "test-with-pytest.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TESTS = [block for language, block in FENCE.findall(PAGE) if language == "python"]
(FAILURE,) = [block for language, block in FENCE.findall(PAGE) if language == "text"]
IN_A_THREAD = dict(re.findall(r"^\| [\w-]+ \| `(\w+)` \| `(await .*)` \|$", PAGE, re.MULTILINE))

ASYNC_TEST = """
import pytest
import {module}{submodule}

@pytest.mark.{module}
async def test_it(snapshotter):
    snapshotter.prepare("web")
    {call}
    assert snapshotter.usage("web") >= 8 << 20
"""


def test_the_tests_of_the_page_pass(pytester: pytest.Pytester) -> None:
    for number, block in enumerate(TESTS):
        Path(pytester.path, f"test_block_{number}.py").write_text(block)
    pytester.runpytest_subprocess("--thinsim-rig=process").assert_outcomes(passed=2)


def test_the_calls_in_a_thread_work(pytester: pytest.Pytester) -> None:
    assert IN_A_THREAD.keys() == {"trio", "asyncio", "anyio"}
    for module, call in IN_A_THREAD.items():
        submodule = ".to_thread" if module == "anyio" else ""
        text = ASYNC_TEST.format(module=module, submodule=submodule, call=call)
        Path(pytester.path, f"test_{module}_loop.py").write_text(text)
    done = pytester.runpytest_subprocess("--thinsim-rig=process")
    done.assert_outcomes(passed=4)  # anyio runs its test on trio and on asyncio


@pytest.mark.rig
def test_the_failure_of_the_page_is_real(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.no_leak
        def test_it(snapshotter):
            snapshotter.prepare("web")
            snapshotter.write("web", "8MiB")
            snapshotter.remove("web")
        """
    )
    done = pytester.runpytest_subprocess("--thinsim-rig=emulated")
    done.assert_outcomes(failed=1)
    assert missing(FAILURE.splitlines()[:-1], done.outlines) is None

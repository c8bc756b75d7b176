"""`BUILDS` has the builds of containerd on this machine: the installed one, and those of other releases."""

from pathlib import Path

import pytest

from tools.containerd_builds import BUILDS as FETCHED
from tools.containerd_builds import PROGRAMS, SUITES

GET = "fix: make containerd-builds"


def _fetched(suite: str) -> object:
    there = all((FETCHED / suite / name).exists() for name in PROGRAMS)
    why = f"the containerd of {suite} is not in .containerd ({GET})"
    return pytest.param(FETCHED / suite, marks=pytest.mark.skipif(not there, reason=why), id=suite)


BUILDS: list[object] = [pytest.param(None, id="installed"), *map(_fetched, SUITES)]
"""The directory of each build, None for the installed one; a test skips those that are not here."""


def words_for(build: Path | None) -> list[str]:
    """Return the options of ``thinsim reproduce`` for a build."""
    return [] if build is None else ["--containerd", str(build)]

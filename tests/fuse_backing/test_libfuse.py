"""The trial of libfuse finds the loaded library, or the reason why there is none."""

import sys
from pathlib import Path

import pytest

from fuse_backing import libfuse


def test_the_library_of_pyfuse3_takes_requests_from_sockets() -> None:
    found = libfuse.libfuse_in_use()
    assert found.failure == ""
    assert Path(found.library).exists()
    assert found.version.startswith("3.")
    assert found.way == "a pair of sockets at /dev/fd/N"


def test_a_pyfuse3_that_does_not_load_is_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyfuse3", None)
    found = libfuse.tried()
    assert (found.version, found.library, found.way) == ("", "", "")
    assert str(found).startswith("no libfuse: pyfuse3 does not load: ")


def test_a_trial_that_dies_is_the_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert str(libfuse.libfuse_in_use()) == "no libfuse: the trial ended with status -9"

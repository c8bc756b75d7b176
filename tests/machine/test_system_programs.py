"""A program in /usr/sbin is found and run with a PATH that lacks the directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from thinsim.machine import programs
from thinsim.machine.programs import find_program, full_path, look_for


@pytest.fixture
def sbin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that is a system place and not in PATH, with the program ``made-up``."""
    place = tmp_path / "sbin"
    place.mkdir()
    (place / "made-up").write_text("#!/bin/sh\necho ran\n")
    (place / "made-up").chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(programs, "SYSTEM_PLACES", (str(place),))
    return place


def test_a_program_in_a_system_place_is_found_and_one_in_path_first(sbin: Path, tmp_path: Path) -> None:
    assert find_program("made-up") == str(sbin / "made-up")
    assert find_program("no-such-program") is None
    first = tmp_path / "first"
    first.mkdir()
    (first / "made-up").symlink_to(sbin / "made-up")
    os.environ["PATH"] = f"{first}:/usr/bin"
    assert find_program("made-up") == str(first / "made-up")


def test_the_system_places_follow_the_path() -> None:
    assert full_path({"PATH": "/usr/bin:/bin"}) == "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
    assert full_path({}).endswith("/usr/bin:/usr/local/sbin:/usr/sbin:/sbin")


def test_a_completed_path_is_that_of_every_program_that_is_started(sbin: Path) -> None:
    programs.complete_path()
    done = subprocess.run(["made-up"], capture_output=True, text=True, check=True)
    assert done.stdout == "ran\n"


def test_the_command_completes_its_path() -> None:
    script = "import os, sys; sys.argv[1:] = ['--version']; from thinsim.cli.main import main\n"
    script += "try:\n    main()\nexcept SystemExit:\n    print(os.environ['PATH'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def test_a_missing_program_needs_an_installation(sbin: Path) -> None:
    assert look_for("made-up", "package").present
    found = look_for("no-such-program", "package", title="it (in the guest)")
    assert (found.name, found.present) == ("it (in the guest)", False)
    assert (found.detail, found.fix) == ("not installed", "apt-get install package")


def test_a_program_that_only_root_may_run_needs_root_and_no_installation(
    sbin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sbin / "made-up").chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = look_for("made-up", "package")
    assert (found.detail, found.fix) == (f"only root may run {sbin}/made-up", "run with sudo")

"""A directory that cannot hold the pool's files is refused before anything runs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.cli.command_lines import Thinsim
from tests.cli.command_tree import every_command
from thinsim.cli.main import commands

_WORDS = {
    "thinsim ci": ["--baseline", "FILE"],
    "thinsim baseline save": ["churn", "-o", "FILE"],
    "thinsim run": ["churn"],
}
"""The other words that a command needs."""


def _takers() -> dict[str, click.Command]:
    return {
        name: command
        for name, command in every_command(commands, "thinsim")
        if any(parameter.name == "directory" and "--dir" in parameter.opts for parameter in command.params)
        # A pool makes its directory, and doctor lists what a directory lacks.
        and name.split()[1] not in ("pool", "doctor")
    }


@pytest.mark.parametrize("name", _takers())
def test_a_missing_directory_is_named_before_anything_runs(
    thinsim: Thinsim, name: str, tmp_path: Path
) -> None:
    words = [str(tmp_path / "file") if word == "FILE" else word for word in _WORDS.get(name, [])]
    done = thinsim(*name.split()[1:], *words, "--dir", tmp_path / "missing")
    assert done.returncode == 2
    *_, error = done.stderr.splitlines()
    assert error == (
        f"Error: Invalid value for '--dir': '{tmp_path}/missing' is not a directory; create it first."
    )
    assert "rig" not in done.stderr.replace(str(tmp_path), "")


@pytest.fixture(params=["tmpfs", "ramfs"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Mount a file system that is read-only, or one that cannot punch holes."""
    kind, place = request.param, tmp_path / "mounted"
    place.mkdir()
    options = ["-o", "ro"] if kind == "tmpfs" else []
    subprocess.run(["mount", "-t", kind, *options, "none", place], check=True)
    yield kind, place
    subprocess.run(["umount", place], check=True)


@pytest.mark.rig
def test_a_directory_without_writes_or_holes_is_refused(thinsim: Thinsim, mounted: tuple[str, Path]) -> None:
    kind, place = mounted
    done = thinsim("reproduce", "--dir", place)
    assert done.returncode == 2
    why = {
        "tmpfs": "is not writable.",
        "ramfs": "cannot hold the pool's files: hole punching: Operation not supported; name a directory on "
        "ext4, xfs, btrfs or tmpfs.",
    }[kind]
    assert done.stderr.splitlines()[-1] == f"Error: Invalid value for '--dir': '{place}' {why}"


@pytest.mark.rig
def test_a_guest_needs_no_holes_in_its_directory(thinsim: Thinsim, mounted: tuple[str, Path]) -> None:
    kind, place = mounted
    done = thinsim("reproduce", "--rig", "vm", "--guest-kernel", "0.0-none", "--dir", place)
    assert ("is not writable" in done.stderr) == (kind == "tmpfs")
    assert "hole punching" not in done.stderr

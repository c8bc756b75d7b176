"""A directory of containerd's programs is known by its version, and refused in one line if it can't run."""

import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from thinsim.errors import InvalidValueError
from thinsim.machine import programs
from thinsim.scenario.containerd.builds import OWN, ContainerdBuild, containerd_facts, find_build, labels
from thinsim.scenario.containerd.config_file import containerd_config

Programs = Callable[..., Path]
AARCH64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(44)


@pytest.fixture
def directory_of(tmp_path: Path) -> Programs:
    """Return a function that makes a directory of programs; its containerd prints *text*."""

    def make(text: str, *, name: str = "bin", without: str = "", binary: bytes | None = None) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        for program in OWN:
            if program != without:
                path = directory / program
                path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
                path.chmod(0o755)
        if binary is not None:
            (directory / "containerd").write_bytes(binary)
        return directory

    return make


@pytest.fixture(autouse=True)
def machine_with_other_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have runc, mkfs.ext4 and blkdiscard, and no containerd."""
    installed = tmp_path / "installed"
    installed.mkdir()
    for name in ("runc", "mkfs.ext4", "blkdiscard", "cat"):
        text = (
            '#!/bin/sh\necho "runc version 1.2.3"\n' if name != "cat" else '#!/bin/sh\nexec /bin/cat "$@"\n'
        )
        (installed / name).write_text(text)
        (installed / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(installed))
    monkeypatch.setattr(programs, "SYSTEM_PLACES", ())


@pytest.mark.parametrize(
    ("text", "version", "series", "revision"),
    [
        ("containerd github.com/containerd/containerd v1.7.24 88bf19b", "1.7.24", (1, 7), "88bf19b"),
        ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+b3", "1.6.20", (1, 6), None),
        ("containerd github.com/containerd/containerd/v2 2.1.9+unknown ", "2.1.9", (2, 1), ""),
        ("containerd github.com/containerd/containerd/v2 v2.0.0-rc.1 abc.m", "2.0.0-rc.1", (2, 0), "abc.m"),
    ],
)
def test_the_version_is_what_containerd_prints(
    directory_of: Programs, text: str, version: str, series: tuple[int, int], revision: str | None
) -> None:
    found = find_build(directory_of(text))
    assert (found.version, found.series) == (version, series)
    assert revision is None or found.revision == revision


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda of: of("", without="ctr"), "has no ctr: give the directory of a build's programs"),
        (lambda of: of("no version"), "printed no version of containerd: 'no version"),
        (
            lambda of: of("containerd c v3.1.0 abc"),
            "containerd is containerd 3.1.0, and thinsim knows 1.6, 1.7",
        ),
        (lambda of: of("containerd c v1.5.9 abc"), "is containerd 1.5.9, and thinsim knows"),
        (lambda of: of("", binary=AARCH64), "is a program for aarch64, and this machine is"),
        (lambda of: of("", binary=b"text"), "does not run here"),
        (lambda of: of("", binary=b"#!/bin/sh\necho lost >&2\nexit 3\n"), "does not run here: lost"),
    ],
)
def test_a_directory_that_cannot_be_used_is_refused_in_one_line(
    directory_of: Programs, make: Callable[[Programs], Path], complaint: str
) -> None:
    if complaint.startswith("is a program for") and platform.machine() == "aarch64":
        pytest.skip("the program of another machine runs on this one (fix: use a machine of another kind)")
    with pytest.raises(InvalidValueError) as caught:
        find_build(make(directory_of))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_drop_in_dmsetup_comes_before_the_build_and_the_build_before_the_system(
    directory_of: Programs,
) -> None:
    build = find_build(directory_of("containerd c v2.1.9 abc"))
    system = os.environ["PATH"]
    assert build.path({}) == f"{build.directory}:{system}"
    assert build.path({"PATH": f"/rig/bin:{system}"}) == f"/rig/bin:{build.directory}:{system}"
    assert build.program("ctr") == str(build.directory) + "/ctr"
    assert build.program("runc").endswith("installed/runc")


def test_builds_are_distinguished_by_version_else_by_directory(directory_of: Programs) -> None:
    released = find_build(directory_of("containerd c v2.1.9 abc", name="released"))
    patched = find_build(directory_of("containerd c v2.1.9 abd", name="patched"))
    old = find_build(directory_of("containerd c v1.7.24 abe", name="old"))
    assert labels([old, patched]) == ["1.7.24", "2.1.9"]
    assert labels([released, patched]) == ["2.1.9 released", "2.1.9 patched"]
    assert labels([released, released]) == ["1", "2"]
    assert containerd_facts([old]) == {
        "containerd": f"1.7.24, revision abe, {old.directory}",
        "runc": "1.2.3",
    }
    assert list(containerd_facts([old, patched])) == [
        "containerd 1.7.24",
        "runc 1.7.24",
        "containerd 2.1.9",
        "runc 2.1.9",
    ]


@pytest.mark.parametrize(
    ("series", "version", "transfers"), [((1, 6), 2, False), ((1, 7), 2, True), ((2, 1), 3, True)]
)
def test_the_configuration_has_the_form_that_the_version_wants(
    tmp_path: Path, series: tuple[int, int], version: int, transfers: bool
) -> None:
    build = ContainerdBuild(None, "", series, "")
    text = containerd_config(build, tmp_path, tmp_path, "devmapper", "[plugins]\n")
    assert text.startswith(f"version = {version}\n")
    assert text.endswith("[plugins]\n")
    assert ("transfer.v1.local" in text) == transfers

"""A `ContainerdBuild` is one build of containerd: this machine's, or the one in a directory."""

import errno
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.machine.programs import find_program, full_path

SHIM = "containerd-shim-runc-v2"
OWN = ("containerd", "ctr", SHIM)
"""A build has these programs. runc is a project of its own, so a build's directory may lack it."""

INSTALLED = {
    "containerd": "apt-get install containerd",
    "ctr": "apt-get install containerd",
    SHIM: "apt-get install containerd",
    "runc": "apt-get install runc",
    "blkdiscard": "apt-get install util-linux",
    "mkfs.ext4": "apt-get install e2fsprogs",
}
"""The programs that a run needs, and how to get them."""

_KNOWN = ((1, 6), (1, 7), (2, 0), (2, 1), (2, 2))
"""The release series whose configuration and commands thinsim writes."""
_VERSION = re.compile(r"containerd \S+ v?((\d+\.\d+)(?:\.\d+)?\S*?)(?:[~+]\S*)?(?: (\S*))?$", re.MULTILINE)
_MACHINES = {3: "i386", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
"""Machines by their number in an ELF header (elf(5), e_machine)."""
_ELF_MACHINE = 18
_PATIENCE = 30


@dataclass(frozen=True, slots=True)
class ContainerdBuild:
    """A `ContainerdBuild` has the programs of *directory*, and those that it lacks from this machine."""

    directory: Path | None
    """None for the installed build."""
    version: str
    """The release, such as `2.1.9`, without what a distribution adds."""
    series: tuple[int, int]
    """The first two numbers of the version."""
    revision: str
    """The revision that the build was made from; empty if it does not contain one."""

    def program(self, name: str) -> str:
        """Return the path of the program *name*, or the name if there is none."""
        return shutil.which(name, path=self.path({})) or name

    def path(self, environment: Mapping[str, str]) -> str:
        """Return the PATH with which containerd finds its shim, and the shim finds runc.

        The first place of the PATH of *environment*, if it has one, stays first: dmsetup may be there.
        """
        if self.directory is None:
            return environment.get("PATH") or full_path(os.environ)
        if "PATH" not in environment:
            return f"{self.directory}:{full_path(os.environ)}"
        first, _, others = environment["PATH"].partition(":")
        return f"{first}:{self.directory}:{others}"


def find_build(directory: Path | None) -> ContainerdBuild:
    """Return the build in *directory*, or the installed one.

    Raises EnvironmentLacksError if this machine lacks a program, and InvalidValueError if *directory* lacks
    one, or if its containerd does not run here or has a version that thinsim does not know.
    """
    if directory is not None:
        directory = directory.absolute()
        lacking = [name for name in OWN if not os.access(directory / name, os.X_OK)]
        if lacking:
            raise InvalidValueError(
                f"{directory} has no {' and no '.join(lacking)}: give the directory of a build's programs, "
                "such as bin after containerd's make"
            )
    missing = {
        name: fix
        for name, fix in INSTALLED.items()
        if find_program(name) is None and not (directory is not None and os.access(directory / name, os.X_OK))
    }
    if missing:
        raise EnvironmentLacksError(
            "; ".join(f"{name} is not installed ({fix})" for name, fix in missing.items())
        )
    program = Path(find_program("containerd") or "") if directory is None else directory / "containerd"
    version, series, revision = _version(program)
    if series not in _KNOWN:
        known = ", ".join(f"{major}.{minor}" for major, minor in _KNOWN)
        raise InvalidValueError(f"{program} is containerd {version}, and thinsim knows {known}")
    return ContainerdBuild(directory, version, series, revision)


def _version(program: Path) -> tuple[str, tuple[int, int], str]:
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidValueError(f"{program} --version did not end within {_PATIENCE} seconds") from error
    except OSError as error:
        why = _other_machine(program) if error.errno == errno.ENOEXEC else error.strerror
        raise InvalidValueError(f"{program} does not run here: {why}") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise InvalidValueError(f"{program} does not run here: {lines[-1]}")
    found = _VERSION.match(done.stdout)
    if found is None:
        raise InvalidValueError(f"{program} --version printed no version of containerd: {done.stdout[:80]!r}")
    major, minor = found[2].split(".")
    return found[1], (int(major), int(minor)), found[3] or ""


def _other_machine(program: Path) -> str:
    with program.open("rb") as file:
        header = file.read(_ELF_MACHINE + 2)
    if header[:4] != b"\x7fELF" or len(header) < _ELF_MACHINE + 2:
        return "it is no program"
    number = int.from_bytes(header[_ELF_MACHINE:], "little")
    machine = _MACHINES.get(number, f"machine {number}")
    return f"it is a program for {machine}, and this machine is {platform.machine()}"


def labels(builds: Sequence[ContainerdBuild]) -> Sequence[str]:
    """Return a word per build: its version, with the name of its directory if others have that version."""
    for words in (
        [build.version for build in builds],
        [f"{build.version} {build.directory.name if build.directory else 'installed'}" for build in builds],
    ):
        if len(set(words)) == len(builds):
            return words
    return [str(number) for number, _ in enumerate(builds, 1)]


def containerd_facts(builds: Sequence[ContainerdBuild]) -> Mapping[str, str]:
    """Return the names and values for a report's environment: each build, and its runc."""
    found = {}
    for label, build in zip(labels(builds), builds, strict=True):
        which = f" {label}" if len(builds) > 1 else ""
        revision = f", revision {build.revision}" if build.revision else ""
        place = f", {build.directory}" if build.directory is not None else ""
        found[f"containerd{which}"] = f"{build.version}{revision}{place}"
        found[f"runc{which}"] = _runc_version(build.program("runc"))
    return found


def _runc_version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["unknown"])[0].removeprefix("runc version ")

"""`libfuse_peer` compiles an example server of libfuse, from the installed package or its source package.

The source comes from the archive of the distribution, into a cache directory of the user. Nothing of it is a
part of this repository.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

_EXAMPLES = Path("/usr/share/doc/libfuse3-dev/examples")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thinsim" / "libfuse"
_PATIENCE = 300.0
_KNOWN = ("-DHAVE_UTIMENSAT", "-DHAVE_POSIX_FALLOCATE")
"""Functions of every Linux; the examples find them by the configuration of libfuse's own build."""


class NoPeerError(Exception):
    """A peer can't be compiled on this machine; the text has the reason."""


@functools.cache
def libfuse_peer(name: str) -> Path:
    """Return the program *name*, ``passthrough_ll`` or ``passthrough_hp``, compiled with optimisation.

    Raises NoPeerError.
    """
    if shutil.which("pkg-config") is None or not _runs("pkg-config", "--exists", "fuse3"):
        raise NoPeerError("libfuse3-dev is not installed")
    version = _output("pkg-config", "--modversion", "fuse3")
    program = _CACHE / version / name
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    source = _source(name, program.parent)
    flags = _output("pkg-config", "--cflags", "--libs", "fuse3").split()
    compiler = ["c++", "-std=c++17"] if source.suffix == ".cc" else ["cc"]
    new = program.with_suffix(".new")
    _run(*compiler, "-O2", "-w", "-pthread", *_KNOWN, "-o", str(new), str(source), *flags)
    new.replace(program)
    return program


def missing_peer(name: str) -> str | None:
    """Return the reason why a peer can't be compiled, or None."""
    try:
        libfuse_peer(name)
    except NoPeerError as error:
        return str(error)
    return None


def _source(name: str, cache: Path) -> Path:
    for suffix in (".c", ".cc"):
        installed = _EXAMPLES / f"{name}{suffix}"
        if installed.exists():
            return installed
    found = next(cache.glob(f"fuse3-*/example/{name}.c*"), None)
    if found is None:
        _get_source(cache)
        found = next(cache.glob(f"fuse3-*/example/{name}.c*"), None)
    if found is None:
        raise NoPeerError(f"the source package fuse3 has no example {name}")
    return found


def _get_source(cache: Path) -> None:
    """Get the source package into *cache*, by lists of packages that are kept there."""
    for tool in ("apt-get", "dpkg-source"):
        if shutil.which(tool) is None:
            raise NoPeerError(f"{tool} is missing, and the source package fuse3 comes with it")
    lists = cache / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = cache / "sources.list"
    suite = _output("sh", "-c", '. /etc/os-release && echo "$VERSION_CODENAME"')
    sources.write_text(f"deb-src http://deb.debian.org/debian {suite} main\n")
    options = [
        *("-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null"),
        *("-o", f"Dir::State::Lists={lists}", "-o", "APT::Sandbox::User=root", "-qq"),
    ]
    _run("apt-get", *options, "update")
    _run("apt-get", *options, "source", "fuse3", cwd=cache)


def _runs(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=cwd, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPeerError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line or line.startswith("E:")]
        raise NoPeerError(f"{command[0]}: {lines[0] if lines else 'failed'}")

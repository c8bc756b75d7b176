"""``python -m tools.containerd_builds`` gets the containerd of other Debian releases without installing it.

It writes the programs of each release to a directory of its own below ``.containerd``. apt checks the
signatures, with lists and caches in a temporary directory; nothing of this machine's apt changes.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

BUILDS = Path(__file__).resolve().parent.parent / ".containerd"
SUITES = ("trixie", "sid")
PROGRAMS = ("containerd", "ctr", "containerd-shim-runc-v2")
"""runc stays this machine's: a newer one needs the C library of its own release."""

_MIRROR = "http://deb.debian.org/debian"
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def main() -> int:
    return made_for_suites(__doc__ or "", lambda suite, builds: get(suite, builds / suite))


def made_for_suites(description: str, make: Callable[[str, Path], Path]) -> int:
    """Make a build of each suite that the command line names; return the exit status.

    *make* gets the suite and the directory of all builds, and returns the directory of the build.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "suites", nargs="*", default=SUITES, metavar="SUITE", help=f"default: {' '.join(SUITES)}"
    )
    parser.add_argument("--to", type=Path, default=BUILDS, help="directory of the builds")
    options = parser.parse_args()
    for suite in options.suites:
        try:
            print(make(suite, options.to), flush=True)
        except subprocess.CalledProcessError as error:
            output = f"{error.stdout or ''}{error.stderr or ''}".strip()
            print(f"{suite}: {' '.join(error.cmd[:3])} failed: {output}", file=sys.stderr)
            return 1
    return 0


def get(suite: str, to: Path) -> Path:
    """Get the build of *suite* unless it is there; return its directory. CalledProcessError if apt fails."""
    if all((to / name).exists() for name in PROGRAMS):
        return to
    with tempfile.TemporaryDirectory(prefix="thinsim-containerd-") as name:
        work = Path(name)
        options = private_apt(suite, work)
        run(["apt-get", *options, "update"], work)
        run(["apt-get", *options, "download", "containerd"], work)
        (package,) = work.glob("containerd_*.deb")
        run(["dpkg-deb", "--extract", str(package), "root"], work)
        fresh = work / "build"
        fresh.mkdir()
        for program in PROGRAMS:
            shutil.copy2(work / "root/usr/bin" / program, fresh)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(fresh, to, dirs_exist_ok=True)
    return to


def private_apt(suite: str, work: Path) -> Sequence[str]:
    """Return apt options for *suite*, sources included, with lists and caches in the directory *work*."""
    for each in ("lists/partial", "cache/archives/partial"):
        (work / each).mkdir(parents=True)
    (work / "status").touch()
    place = f"[signed-by={_KEYS}] {_MIRROR} {suite} main\n"
    (work / "sources.list").write_text(f"deb {place}deb-src {place}")
    settings = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        # A mirror may keep an index of sid beyond its date.
        "Acquire::Check-Valid-Until": "false",
        "APT::Sandbox::User": "root",
    }
    return ["-qq", *(f"-o{key}={value}" for key, value in settings.items())]


def run(command: Sequence[str], work: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run *command* in the directory *work*. CalledProcessError, with its output, if it fails."""
    subprocess.run(command, cwd=work, check=True, capture_output=True, text=True, env=environment)


if __name__ == "__main__":
    sys.exit(main())

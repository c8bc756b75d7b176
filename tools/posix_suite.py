"""``python -m tools.posix_suite`` runs pjdfstest in a plain directory and on stores.

pjdfstest tests the file system calls of POSIX. It is not part of this repository: ``--sources`` names a clone
of it. All directories are on the same new file system of the kind ``--host``. The command needs root, and
openssl, which the suite uses to make names.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.host_file_systems import KINDS, host_file_system

COMMIT = "85a8aea9e685999ef0540392fd80535f873d7ff7"
ORIGIN = "https://github.com/pjd/pjdfstest"
PLAIN, KERNEL, SERVER = "plain directory", "store, data by the kernel", "store, data by the server"
PASSTHROUGH = {KERNEL: "on", SERVER: "off"}

_FOUND = (
    *("FACCESSAT", "FCHMODAT", "FCHOWNAT", "FSTATAT", "LINKAT", "MKDIRAT", "MKFIFOAT", "MKNODAT", "OPENAT"),
    *("POSIX_FALLOCATE", "READLINKAT", "RENAMEAT", "SYMLINKAT", "UTIMENSAT", "SYS_SYSMACROS_H"),
    *("STRUCT_STAT_ST_ATIM", "STRUCT_STAT_ST_CTIM", "STRUCT_STAT_ST_MTIM"),
)
"""The functions and headers of Linux for which the suite's configure script looks."""

_NAME = re.compile(r"^\tfs=`df -PT .*$", re.MULTILINE)
_LINE = re.compile(r"^(ok|not ok)(?: (\d+))?(.*)$")
_PLAN = re.compile(r"^1\.\.(\d+)")
_SECONDS = 600


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """A `SuiteResult` has the results of one file of tests in one directory."""

    planned: int
    passed: int
    failed: Mapping[str, str] = field(default_factory=dict)
    """The words of each test that failed, by number. A test without a result has failed as well."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", default=ORIGIN, help="clone of pjdfstest, or its address")
    parser.add_argument("--host", default="ext4", choices=KINDS, help="kind of the file system")
    parser.add_argument("--only", default="", help="run only the files whose name begins so, such as rename/")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends what is mounted and removes it
    with tempfile.TemporaryDirectory(prefix="thinsim-posix-", dir="/var/tmp") as name:
        suite = built(arguments.sources, Path(name) / "suite", arguments.host)
        results = measured(suite, arguments.host, Path(name), arguments.only)
    document = {"suite": ORIGIN, "commit": COMMIT, "host": arguments.host, "files": as_json(results)}
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    print("\n".join(summary(results)))
    return 1 if any(more_failures(results)) else 0


def built(sources: str, to: Path, kind: str) -> Path:
    """Clone and compile the suite at its commit; return the directory *to*. Raises CalledProcessError.

    The suite expects more of file systems that it knows by name. It gets the name of the host of *kind* in
    each place, so that it runs the same tests on a store.
    """
    subprocess.run(["git", "clone", "--quiet", "--no-checkout", sources, to], check=True)
    subprocess.run(["git", "-C", to, "checkout", "--quiet", COMMIT], check=True)
    (to / "config.h").write_text("".join(f"#define HAVE_{name} 1\n" for name in _FOUND))
    command = ["cc", "-O1", "-D_GNU_SOURCE", f"-I{to}", "-o", to / "pjdfstest", to / "pjdfstest.c"]
    subprocess.run(command, check=True)
    settings = to / "tests" / "conf"
    name = kind.partition(" ")[0].upper()
    settings.write_text(_NAME.sub(f"\\tfs={name}", settings.read_text()))
    return to


def measured(suite: Path, kind: str, base: Path, only: str = "") -> dict[str, dict[str, SuiteResult]]:
    """Run the files of the suite in each place on a file system of *kind*; return the results by file."""
    names = [str(path.relative_to(suite / "tests")) for path in sorted((suite / "tests").rglob("*.t"))]
    names = [name for name in names if name.startswith(only)]
    results: dict[str, dict[str, SuiteResult]] = {name: {} for name in names}
    with host_file_system(kind, base) as host:
        for place, directory in places(host.directory, base):
            for name in names:
                results[name][place] = run_file(suite / "tests" / name, directory)
    return results


def places(host: Path, base: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and the directory of each place, which exists until the next one is asked for."""
    for number, place in enumerate((PLAIN, KERNEL, SERVER)):
        served = host / f"place-{number}"
        served.mkdir(mode=0o755)
        if place == PLAIN:
            yield place, served
            continue
        mountpoint = base / f"mountpoint-{number}"
        mountpoint.mkdir()
        with mounted(served, mountpoint, PASSTHROUGH[place]):
            yield place, mountpoint


@contextmanager
def mounted(served: Path, mountpoint: Path, passthrough: str) -> Iterator[None]:
    """Serve a directory on a mountpoint, for all users, until the block ends."""
    command = [sys.executable, "-m", "fuse_backing"]
    options = ["--passthrough", passthrough, "--allow-other"]
    subprocess.run([*command, "mount", served, mountpoint, *options], check=True, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run([*command, "unmount", mountpoint], check=True, stdout=subprocess.DEVNULL)


def run_file(path: Path, directory: Path) -> SuiteResult:
    """Run a file of tests in a directory."""
    done = subprocess.run(
        ["sh", path],
        cwd=directory,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_SECONDS,
        env={**os.environ, "LC_ALL": "C"},
    )
    return result_of(done.stdout.splitlines())


def result_of(lines: Sequence[str]) -> SuiteResult:
    """Read the lines that a file of tests has printed: the Test Anything Protocol."""
    planned, passed, number, failed = 0, 0, 0, {}
    for line in lines:
        if plan := _PLAN.match(line):
            planned = int(plan[1])
        elif found := _LINE.match(line):
            number = int(found[2]) if found[2] else number + 1
            if found[1] == "ok" or "# TODO" in found[3]:
                passed += 1
            else:
                failed[str(number)] = found[3].strip(" -")
    for missing in range(passed + len(failed) + 1, planned + 1):
        failed.setdefault(str(missing), "no result")
    return SuiteResult(planned, passed, failed)


def more_failures(results: Mapping[str, Mapping[str, SuiteResult]]) -> Iterator[tuple[str, str, str, str]]:
    """Yield file, place, number and words of each test that fails on a store only."""
    for name, by_place in results.items():
        known = by_place[PLAIN].failed
        for place in PASSTHROUGH:
            for number, words in by_place[place].failed.items():
                if number not in known:
                    yield name, place, number, words


def summary(results: Mapping[str, Mapping[str, SuiteResult]]) -> Iterator[str]:
    """Yield a line per place, and one per test that fails on a store only."""
    for place in (PLAIN, *PASSTHROUGH):
        found = [by_place[place] for by_place in results.values()]
        planned, passed = (sum(getattr(each, name) for each in found) for name in ("planned", "passed"))
        yield f"{place}: {passed} of {planned} tests passed, in {len(found)} files"
    for name, place, number, words in more_failures(results):
        yield f"{place}: {name} test {number} fails, which the plain directory passes: {words}"


def as_json(results: Mapping[str, Mapping[str, SuiteResult]]) -> list[dict[str, object]]:
    """Return the results as a list of objects, one per file."""
    return [
        {"file": name, "places": {place: asdict(found) for place, found in by_place.items()}}
        for name, by_place in results.items()
    ]


def from_json(files: Sequence[Mapping[str, object]]) -> dict[str, dict[str, SuiteResult]]:
    """Read the list that ``as_json`` returned."""
    results = {}
    for each in files:
        places_of = each["places"]
        assert isinstance(places_of, dict)
        results[str(each["file"])] = {place: SuiteResult(**found) for place, found in places_of.items()}
    return results


if __name__ == "__main__":
    sys.exit(main())

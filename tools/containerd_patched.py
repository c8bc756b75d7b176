"""``python -m tools.containerd_patched`` builds containerd of other Debian releases with patches.

The source, Go and the libraries are Debian's packages, unpacked in a temporary directory; nothing is
installed. The programs go to a directory below ``.containerd``, such as ``trixie-patched``. A build takes
five minutes on two cores and 4 GB of disk.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.containerd_builds import PROGRAMS, made_for_suites, private_apt, run

PATCHES = tuple(sorted((Path(__file__).resolve().parent / "containerd_patches").glob("*.patch")))
"""Each changes one file of the devmapper snapshotter, with paths from its directory."""

_LIBRARY = "golang-github-containerd-containerd-dev"
"""containerd's source as a Go library, with Debian's own patches."""
_TAGS = "no_aufs,no_btrfs,no_cri,no_tracing,no_zfs"
"""Plugins that thinsim does not use; without them the build needs no C library and half the time."""


def main() -> int:
    return made_for_suites(__doc__ or "", lambda suite, builds: build(suite, builds / name_of(suite)))


def name_of(suite: str) -> str:
    """Return the name of the directory with the patched build of *suite*."""
    return f"{suite}-patched"


def build(suite: str, to: Path) -> Path:
    """Build the containerd of *suite* with `PATCHES` unless *to* has it; return its directory.

    A build that is older than a patch is built again. CalledProcessError if apt, patch or the compiler fails.
    """
    newest = max(patch.stat().st_mtime for patch in PATCHES)
    if all((to / name).exists() and (to / name).stat().st_mtime > newest for name in PROGRAMS):
        return to
    with tempfile.TemporaryDirectory(prefix="thinsim-containerd-") as name:
        work = Path(name)
        options = private_apt(suite, work)
        root, version = _unpacked(options, work)
        module, source = _source(
            root / "usr/share/gocode/src/github.com/containerd/containerd", options, work
        )
        for patch in PATCHES:
            devmapper = next(source.glob("**/snapshots/devmapper"))
            run(["patch", "-p1", "-d", str(devmapper), "-i", str(patch)], work)
        to.mkdir(parents=True, exist_ok=True)
        revision = "+".join((version, *(patch.stem for patch in PATCHES)))
        known = f"-X {module}/version.Version={_release(version)} -X {module}/version.Revision={revision}"
        (go,) = root.glob("usr/lib/go-*/bin/go")
        words = [
            "build",
            "-trimpath",
            "-tags",
            _TAGS,
            "-ldflags",
            f"-s -w {known}",
            "-o",
            f"{to.absolute()}/",
        ]
        run([str(go), *words, *(f"{module}/cmd/{program}" for program in PROGRAMS)], work, _settings(root))
    return to


def _unpacked(options: Sequence[str], work: Path) -> tuple[Path, str]:
    """Unpack Go and the libraries; return their root, and the version of containerd's package."""
    run(["apt-get", *options, "update"], work)
    wanted = ["install", "--download-only", "--no-install-recommends", "--yes", "golang-go", _LIBRARY]
    run(["apt-get", *options, *wanted], work)
    root = work / "root"
    for package in (work / "cache/archives").glob("golang-*.deb"):
        run(["dpkg-deb", "--extract", str(package), str(root)], work)
    (library,) = (work / "cache/archives").glob(f"{_LIBRARY}_*.deb")
    shown = subprocess.run(
        ["dpkg-deb", "--field", str(library), "Version"], capture_output=True, text=True, check=True
    )
    return root, shown.stdout.strip()


def _source(library: Path, options: Sequence[str], work: Path) -> tuple[str, Path]:
    """Return the Go name and the directory of containerd's source, with the programs' own folders."""
    newer = library / "v2"
    module, source = "github.com/containerd/containerd", library
    if newer.exists():
        return f"{module}/v2", newer
    # The library of containerd 1.7 lacks the folders of programs that only the source package has.
    run(["apt-get", *options, "source", "--tar-only", "containerd"], work)
    (archive,) = work.glob("containerd_*.orig.tar.*")
    lacking = [f"*/cmd/{program}" for program in PROGRAMS if not (source / "cmd" / program).exists()]
    words = ["--extract", "--strip-components=1", "--wildcards", "--directory", str(source)]
    run(["tar", *words, "--file", str(archive), *lacking], work)
    return module, source


def _settings(root: Path) -> dict[str, str]:
    """Return the environment of the compiler: packages from *root* alone, and no C compiler."""
    known = {"GO111MODULE": "off", "GOPATH": str(root / "usr/share/gocode"), "CGO_ENABLED": "0"}
    places = {"GOCACHE": str(root / "cache"), "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    return {**os.environ, **known, **places}


def _release(version: str) -> str:
    """Return the release in a package's version: ``1.7.24`` of ``1.7.24~ds1-6``."""
    return version.partition("~")[0].partition("+")[0].partition("-")[0]


if __name__ == "__main__":
    sys.exit(main())

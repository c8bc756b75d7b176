"""``python -m tools.containerd_versions_page`` writes docs/evidence/containerd-versions.md from kept reports.

``--measure`` first measures this machine's containerd and those of other Debian releases, as root, and keeps
the report. ``--to DIRECTORY`` keeps data and page apart from the published ones.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from thinsim.units import format_size
from tools import evidence_pages
from tools.containerd_builds import BUILDS, PROGRAMS, SUITES, get
from tools.evidence_pages import Measured, filled, measured_now, table

NAME = "containerd-versions"
COMMAND = "make containerd-versions-page"
_CONTAINER = "snap-5"
"""The container's snapshot; those before it belong to the image's four layers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--to", type=Path, default=evidence_pages.EVIDENCE, metavar="DIRECTORY")
    arguments = parser.parse_args()
    data = arguments.to / "data"
    data.mkdir(parents=True, exist_ok=True)
    if arguments.measure:
        measured_now(COMMAND, _measured()).write(data / f"{NAME}.json")
    kept = data / f"{NAME}.json"
    found = Measured.read(kept if kept.exists() else evidence_pages.DATA / kept.name)
    (arguments.to / f"{NAME}.md").write_text(page(found))


def _measured() -> Mapping[str, Any]:
    """Measure the installed build and those of other releases."""
    with tempfile.TemporaryDirectory(prefix="thinsim-containerd-") as name:
        installed = Path(name) / "installed"
        installed.mkdir()
        for program in PROGRAMS:
            (installed / program).symlink_to(f"/usr/bin/{program}")
        return measured([installed, *(get(suite, BUILDS / suite) for suite in SUITES)])


def measured(builds: Sequence[Path]) -> Mapping[str, Any]:
    """Run each of *builds* in the same command; return the leaks of its report, and the builds' revisions."""
    words = [word for build in builds for word in ("--containerd", str(build))]
    command = ["reproduce", "--subject", "containerd", "--container-mb", "20", *words, "--json", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "thinsim", *command], stdout=subprocess.PIPE, text=True, check=True
    )
    report = json.loads(done.stdout)
    return {
        "environment": {name: value.split(", /")[0] for name, value in report["environment"].items()},
        "runs": [
            {
                "name": run["name"],
                "leaked": run["leaked"],
                "snapshots": {leak["owner"]["snapshot"]: leak["bytes"] for leak in run["leaks"]},
                "reasons": sorted({leak["owner"]["reason"] for leak in run["leaks"]}),
            }
            for run in report["runs"]
        ],
    }


def page(kept: Measured) -> str:
    """Return the text of the page."""
    parts = {
        "leaks": f"{leaks_table(kept.document['runs'])}\n\n{kept.origin()}",
        "builds": builds_table(kept.document),
    }
    return filled(NAME, parts)


def leaks_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with a row per setting and a column per build."""
    found = {tuple(run["name"].split(": ", 1)): run for run in runs}
    versions = list(dict.fromkeys(version for version, _ in found))
    rows = [
        (f"`{setting}`", *(_leak(found[version, setting]) for version in versions))
        for setting in dict.fromkeys(setting for _, setting in found)
    ]
    return table(("setting", *(f"containerd {version}" for version in versions)), rows)


def _leak(run: Mapping[str, Any]) -> str:
    container = run["snapshots"].get(_CONTAINER, 0)
    image = run["leaked"] - container
    return f"{format_size(image)} of the image, {format_size(container)} of the container"


def builds_table(document: Mapping[str, Any]) -> str:
    """Return a table with the revision of each build."""
    return table(("program", "build"), _rows_of_builds(document["environment"]))


def _rows_of_builds(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if name.startswith(("containerd ", "runc ")):
            yield name, value


if __name__ == "__main__":
    main()

"""``python -m tools.containerd_patched_pages`` writes two pages of docs/evidence about patched containerd.

containerd-committed.md shows what leaks with and without the patch, and containerd-suspend.md counts the
tries of a suspend. ``--measure`` first builds and measures, as root. ``--to DIRECTORY`` keeps data and pages
apart from the published ones.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tools import evidence_pages
from tools.containerd_builds import BUILDS, SUITES, get
from tools.containerd_patched import PATCHES, build, name_of
from tools.containerd_versions_page import builds_table, leaks_table, measured
from tools.evidence_pages import Measured, filled, measured_now, table
from tools.suspend_retries import tried

COMMITTED = "containerd-committed"
SUSPEND = "containerd-suspend"
COMMAND = "make containerd-patched-pages"
_FAILED = re.compile(r"failed: (.*)$")
_SINCE_2_2 = ("invalid argument", "device busy")
"""The words for which containerd retries a suspend since 2.2 (pool_device.go)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", default=SUITES, metavar="SUITE")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--to", type=Path, default=evidence_pages.EVIDENCE, metavar="DIRECTORY")
    arguments = parser.parse_args()
    data = arguments.to / "data"
    data.mkdir(parents=True, exist_ok=True)
    if arguments.measure:
        builds = [get(suite, BUILDS / suite) for suite in arguments.suites]
        patched = [build(suite, BUILDS / name_of(suite)) for suite in arguments.suites]
        pairs = [each for pair in zip(builds, patched, strict=True) for each in pair]
        measured_now(COMMAND, measured(pairs)).write(data / f"{COMMITTED}.json")
        measured_now(COMMAND, [tried(each) for each in pairs]).write(data / f"{SUSPEND}.json")
    for name, make in PAGES.items():
        kept = data / f"{name}.json"
        found = Measured.read(kept if kept.exists() else evidence_pages.DATA / kept.name)
        (arguments.to / f"{name}.md").write_text(make(found))


def committed_page(kept: Measured) -> str:
    """Return the text of the page about committed snapshots."""
    parts = {
        "leaks": f"{leaks_table(kept.document['runs'])}\n\n{kept.origin()}",
        "patch": f"```diff\n{_change('discard-committed')}\n```",
        "builds": builds_table(kept.document),
    }
    return filled(COMMITTED, parts)


def suspend_page(kept: Measured) -> str:
    """Return the text of the page about suspends."""
    first = kept.document[0]["suspends"][0]
    parts = {
        "tries": f"{_tries(kept.document)}\n\n{kept.origin()}",
        "words": _words(first),
        "patch": f"```diff\n{_change('retry-suspend')}\n```",
    }
    return filled(SUSPEND, parts)


PAGES = {COMMITTED: committed_page, SUSPEND: suspend_page}


def _tries(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with a row per build."""
    rows = [
        (
            f"{run['version']}, {'patched' if 'retry-suspend' in run['revision'] else 'released'}",
            _counted(run["suspends"]),
            run["error"].removeprefix("ctr: ") or "committed",
        )
        for run in runs
    ]
    return table(("containerd", "suspends, in order", "`ctr snapshots commit`"), rows)


def _counted(suspends: Sequence[str]) -> str:
    """Return the answers to the suspends, with the number of equal ones."""
    found = ((answer, len(list(same))) for answer, same in groupby(map(_answer, suspends)))
    return ", then ".join(f"{count} × {answer}" for answer, count in found)


def _answer(suspend: str) -> str:
    status, _, text = suspend.partition(" ")
    if status == "0":
        return "done"
    return f"`{_error_text(text)}`"


def _error_text(line: str) -> str:
    """Return the text that containerd compares: in lower case, from after `failed:` (parseDmsetupError)."""
    match = _FAILED.search(line)
    return (match[1] if match else line).lower()


def _words(suspend: str) -> str:
    """Return a table of the words that containerd 2.2 looks for, and whether the measured error has them."""
    text = _error_text(suspend)
    rows = [(f"`{word}`", f"`{text}`", "yes" if word in text else "no") for word in _SINCE_2_2]
    return table(("looks for", "the error", "found"), rows)


def _change(name: str) -> str:
    """Return the lines of the patch *name* after its explanation."""
    (path,) = (patch for patch in PATCHES if patch.stem == name)
    _, mark, change = path.read_text().partition("--- a/")
    return (mark + change).rstrip()


if __name__ == "__main__":
    main()

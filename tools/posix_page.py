"""``python -m tools.posix_page`` writes docs/evidence/posix.md from the results that are kept.

``--results FILE`` first keeps the document that ``python -m tools.posix_suite --json`` wrote.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.evidence_pages import DATA, EVIDENCE, Measured, filled, measured_now, table
from tools.posix_suite import PASSTHROUGH, PLAIN, SuiteResult, from_json, more_failures

NAME = "posix"
KEPT = DATA / f"{NAME}.json"
COMMAND = "make posix-page MEASURE=all"

_Results = Mapping[str, Mapping[str, SuiteResult]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    if arguments.results:
        measured_now(COMMAND, json.loads(arguments.results.read_text())).write(KEPT)
    (EVIDENCE / f"{NAME}.md").write_text(page(Measured.read(KEPT)))


def page(kept: Measured) -> str:
    """Return the text of the page."""
    results = from_json(kept.document["files"])
    commit = f"The suite was at the commit {kept.document['commit'][:12]}."
    return filled(
        NAME,
        {
            "results": f"{_table(results)}\n\n{kept.origin()} {commit}",
            "failures": "\n".join(_failures(results)) or "No test failed in any of the places.",
        },
    )


def _table(results: _Results) -> str:
    """Return a table with a row per call and the passed tests in each place."""
    places = (PLAIN, *PASSTHROUGH)
    calls: dict[str, list[str]] = {}
    for name in results:
        calls.setdefault(name.partition("/")[0], []).append(name)
    rows = []
    for call, names in [*calls.items(), ("all", list(results))]:
        passed = [sum(results[name][place].passed for name in names) for place in places]
        planned = [sum(results[name][place].planned for name in names) for place in places]
        cells = [f"{done} of {out_of}" for done, out_of in zip(passed, planned, strict=True)]
        rows.append((call, str(len(names)), *cells))
    return table(("call", "files", *places), rows)


def _failures(results: _Results) -> Iterator[str]:
    """Yield an item of a list for each file with a failure."""
    more = {(name, place, number) for name, place, number, _ in more_failures(results)}
    for name, by_place in results.items():
        for place, found in by_place.items():
            if not found.failed:
                continue
            numbers = ", ".join(found.failed)
            only = [number for number in found.failed if (name, place, number) in more]
            which = f"; the plain directory passes {', '.join(only)}" if only else ""
            words = next(iter(found.failed.values()))
            yield f"- `{name}`, {place}: {numbers}{which}. The first: {words}"


if __name__ == "__main__":
    main()

"""`page` makes docs/evidence/matrix.md from the kept results, with "not run" where there is none."""

from collections.abc import Mapping, Sequence
from typing import Any

from tools.evidence_pages import Measured, filled, table
from tools.matrix.steps import STEPS
from tools.matrix.systems import SYSTEMS

NAME = "matrix"
_NOT_RUN = ("not run", "", "", "")


def page(kept: Measured) -> str:
    """Return the text of the page."""
    return filled(NAME, {"systems": systems_table(kept.document), "results": _results(kept)})


def systems_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with the newest known versions of each system."""
    versions: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: str(row["day"])):
        known = versions.setdefault(row["suite"], {})
        known.update(
            {name: version for name, version in row["versions"].items() if version or name not in known}
        )
    suites = [suite for suite in SYSTEMS if suite in versions]
    names = list(dict.fromkeys(name for suite in suites for name in versions[suite]))
    return table(
        ["suite", *names], [[suite, *(versions[suite].get(name, "") for name in names)] for suite in suites]
    )


def results_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with a row for each step on each system."""
    known = {
        (row["suite"], row["step"]): (
            row["result"].replace("|", " "),
            f"{row['seconds']} s",
            row["day"],
            f"`{row['commit']}`",
        )
        for row in rows
    }
    return table(
        ["step", "suite", "result", "time", "day", "commit"],
        [
            [step.title, suite, *known.get((suite, name), _NOT_RUN)]
            for name, step in STEPS.items()
            for suite in SYSTEMS
        ],
    )


def _results(kept: Measured) -> str:
    return f"{results_table(kept.document)}\n\n{kept.origin()}"

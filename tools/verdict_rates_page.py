"""``python -m tools.verdict_rates_page`` writes docs/evidence/verdict-rates.md from the counts that are kept.

``--counts FILE...`` first keeps the documents that ``python -m benchmarks.verdict_rates count --json`` wrote,
one per rig.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.evidence_pages import DATA, EVIDENCE, Measured, filled, measured_now, table

COUNTS = DATA / "verdict-rates.json"
COMMAND = "make verdict-rates"
_VERDICTS = {"0": "no regression", "3": "leak", "5": "slower"}

_Count = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    if arguments.counts:
        counts = [each for path in arguments.counts for each in json.loads(path.read_text())]
        measured_now(COMMAND, counts).write(COUNTS)
    (EVIDENCE / "verdict-rates.md").write_text(page(Measured.read(COUNTS)))


def page(kept: Measured) -> str:
    """Return the text of the page."""
    return filled("verdict-rates", {"counts": f"{_counts(kept.document)}\n\n{kept.origin()}"})


def _counts(counts: Sequence[_Count]) -> str:
    """Return a table with a row per case."""
    rows = [
        (
            f"`{each['rig']}`",
            each["case"],
            "all in use" if each["busy"] else "idle",
            str(each["runs"]),
            f"**{each['right']}**",
            ", ".join(f"{_VERDICTS[status]}: {count}" for status, count in each["statuses"].items()),
            f"{each['rounds']:g}",
        )
        for each in counts
    ]
    return table(("rig", "planted", "processors", "runs", "right", "verdicts", "rounds"), rows)


if __name__ == "__main__":
    main()

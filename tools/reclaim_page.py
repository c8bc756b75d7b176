"""``python -m tools.reclaim_page`` writes docs/evidence/reclaim.md from the measurement that is kept.

``--figures FILE`` first keeps the document that ``python -m benchmarks.reclaim --json`` wrote, and
``--command`` names the command that did, if it was another than that of the Makefile.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reclaim import ALONE, BALLOON, RECLAIM
from thinsim.benchmark.intervals import median_interval
from thinsim.units import format_size
from tools.evidence_pages import DATA, EVIDENCE, Measured, filled, measured_now, table

NAME = "reclaim"
KEPT = DATA / f"{NAME}.json"
COMMAND = "make bench-reclaim"

_Figures = Mapping[str, Sequence[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--command", default=COMMAND, help="the command that made the figures")
    arguments = parser.parse_args()
    if arguments.figures:
        measured_now(arguments.command, json.loads(arguments.figures.read_text())).write(KEPT)
    (EVIDENCE / f"{NAME}.md").write_text(page(Measured.read(KEPT)))


def page(kept: Measured) -> str:
    """Return the text of the page."""
    size = f"The free space was {format_size(kept.document['size'])}."
    return filled(NAME, {"figures": f"{_table(kept.document)}\n\n{kept.origin()} {size}"})


def _table(measured: Mapping[str, Any]) -> str:
    """Return a table with a row per method."""
    taken: Mapping[str, _Figures] = measured["taken"]
    rows = []
    for name in (ALONE, RECLAIM, BALLOON):
        rate = _ratios(taken[name]["rate"], taken[ALONE]["rate"])
        if name == ALONE:
            rows.append((name, "", "", rate, "", ""))
            continue
        freed = sum(taken[name]["freed"]) / len(taken[name]["freed"])
        pauses = taken[name]["longest_pause"]
        rows.append(
            (
                name,
                _interval(taken[name]["seconds"]),
                _ratios(taken[name]["seconds"], taken[BALLOON]["seconds"]),
                rate,
                f"{format_size(round(freed))} ({freed / measured['size']:.1%})",
                f"{max(pauses) * 1000:.0f} ms" if pauses else "",
            )
        )
    head = "", "seconds", "ratio to the balloon", "fio's rate, ratio to fio alone", "freed", "longest pause"
    return table(head, rows)


def _ratios(mine: Sequence[float], others: Sequence[float]) -> str:
    return _interval([one / other for one, other in zip(mine, others, strict=True)])


def _interval(values: Sequence[float]) -> str:
    found = median_interval(values)
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"


if __name__ == "__main__":
    main()

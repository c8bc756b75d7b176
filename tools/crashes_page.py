"""``python -m tools.crashes_page`` writes docs/evidence/crashes.md from the crashes that are kept.

``--process FILE`` and ``--emulated FILE`` first keep new crashes, from a file that ``thinsim snapshotter
crashes --json FILE`` wrote. Only the counts of the emulated rig are kept.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tools.evidence_pages import DATA, EVIDENCE, Measured, filled, measured_now, table

PROCESS, EMULATED = DATA / "crashes-process.json", DATA / "crashes-emulated.json"
COMMAND = "thinsim snapshotter crashes"
SHOWN = "containerd"
"""The profile whose steps the page lists."""

_Crash = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--process", type=Path, help="crashes on the process rig")
    parser.add_argument("--emulated", type=Path, help="crashes on the emulated rig")
    arguments = parser.parse_args()
    if arguments.process is not None:
        measured_now(COMMAND, json.loads(arguments.process.read_text())).write(PROCESS)
    if arguments.emulated is not None:
        crashes = json.loads(arguments.emulated.read_text())
        measured_now(f"{COMMAND} --rig emulated", counted(crashes)).write(EMULATED)
    (EVIDENCE / "crashes.md").write_text(page(Measured.read(PROCESS), Measured.read(EMULATED)))


def counted(crashes: Sequence[_Crash]) -> Mapping[str, Any]:
    """Return the counts that the page shows of *crashes*."""
    return {
        "profiles": list(dict.fromkeys(each["profile"] for each in crashes)),
        "operations": len({each["operation"] for each in crashes}),
        "crashes": len(crashes),
        "during": sum(each["during"] for each in crashes),
        "wrong": sum(bool(each["problems"]) for each in crashes),
    }


def page(process: Measured, emulated: Measured) -> str:
    """Return the text of the page."""
    shown = [each for each in process.document if each["profile"] == SHOWN]
    return filled(
        "crashes",
        {
            "counts": _counts(process, emulated),
            "operations": _operations(process.document),
            "steps": "\n\n".join(_steps(shown)),
        },
    )


def _counts(process: Measured, emulated: Measured) -> str:
    """Return a table with a column per rig, which fits a narrow page."""
    columns = [
        (
            f"`{rig}` rig",
            ", ".join(f"`{each}`" for each in counts["profiles"]),
            str(counts["operations"]),
            str(counts["crashes"]),
            str(counts["during"]),
            f"**{counts['wrong']}**" if counts["wrong"] else "0",
            f"{kept.day}, {kept.kernel}",
        )
        for rig, kept, counts in (
            ("process", process, counted(process.document)),
            ("emulated", emulated, emulated.document),
        )
    ]
    names = ("", "profiles", "operations", "crashes", "crashes during a command", "wrong", "measured")
    head, *rows = zip(names, *columns, strict=True)
    notes = "".join(f"\n\n{each.note}" for each in (process, emulated) if each.note)
    return table(head, rows) + notes


def _operations(crashes: Sequence[_Crash]) -> str:
    profiles = list(dict.fromkeys(each["profile"] for each in crashes))
    counts = Counter((each["operation"], each["profile"]) for each in crashes)
    wrong = Counter(each["operation"] for each in crashes if each["problems"])
    names = dict.fromkeys(each["operation"] for each in crashes)
    rows = [(name, *(str(counts[name, each]) for each in profiles), str(wrong[name])) for name in names]
    return table(("operation", *(f"`{each}`" for each in profiles), "wrong"), rows)


def _steps(crashes: Sequence[_Crash]) -> Iterator[str]:
    """Yield a section for each operation; consecutive steps with the same outcome share a row."""
    for operation, steps in groupby(crashes, lambda each: each["operation"]):
        rows = []
        for (restarted, repaired, problems), group in groupby(steps, _outcome):
            of_it = list(group)
            first, last = of_it[0], of_it[-1]
            same = first is last
            rows.append(
                (
                    str(first["number"]) if same else f"{first['number']} to {last['number']}",
                    _step(first) if same else f"{_step(first)} … {_step(last)}",
                    restarted,
                    "; ".join((repaired, *problems)),
                )
            )
        head = ("step", "killed before", "after the restart", "after the repair")
        title = f"`{operation}`" if "_" in operation else f"{operation[0].upper()}{operation[1:]}"
        yield f"### {title}\n\n{table(head, rows)}"


def _step(crash: _Crash) -> str:
    return f"during {crash['step']}" if crash["during"] else str(crash["step"])


def _outcome(crash: _Crash) -> tuple[str, str, tuple[str, ...]]:
    return crash["after_restart"], crash["after_repair"], tuple(crash["problems"])


if __name__ == "__main__":
    main()

"""``python -m tools.data_plane_page`` writes docs/evidence/data-plane.md from the measurements that are kept.

``--measure NAME`` (or ``all``) first runs the command of a measurement, as root on a machine without other
work, and keeps what it wrote. ``--quick`` runs the short forms, which measure little, and ``--note`` adds a
sentence to what is kept, such as a reason to doubt it. ``--to DIRECTORY`` keeps data and page apart from the
published ones.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import thin_goals
from benchmarks.thin_contenders import PLAIN
from thinsim.benchmark.intervals import Interval, median_interval
from tools import evidence_pages
from tools.benchmarks_page import measure
from tools.evidence_pages import Measured, filled, table

NAME = "data-plane"
_PYTHON = "python -m benchmarks."
COMMANDS: Mapping[str, tuple[str, str]] = {
    "rows": (
        f"{_PYTHON}thin --python-alone --json JSON --plot EVIDENCE/{NAME}-benchmark.svg",
        f"{_PYTHON}thin --python-alone --quick --rounds 1 --json JSON --plot EVIDENCE/{NAME}-benchmark.svg",
    ),
    "guest": (f"{_PYTHON}thin_guest --json JSON", f"{_PYTHON}thin_guest --rounds 1 --json JSON"),
    "growth": (
        f"{_PYTHON}thin_growth --json JSON --plot EVIDENCE/{NAME}-growth.svg",
        f"{_PYTHON}thin_growth --quick --json JSON --plot EVIDENCE/{NAME}-growth.svg",
    ),
}
"""The command of each measurement, and that of its short form."""

_MACHINE = ("kernel", "processor", "memory", "file system")
_DEVICES = {
    "random_write": "random write 4 KiB",
    "random_read": "random read 4 KiB",
    "rewrite": "rewrite 1 MiB",
    "read": "read 1 MiB",
}
_MAPPED = {
    "random_read": "random read",
    "random_read_alone": "the same, depth 1",
    "random_write": "random write",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="append", default=[], choices=[*COMMANDS, "all"], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="short forms, which measure little")
    parser.add_argument("--note", default="", help="a sentence about this measurement, for the page")
    parser.add_argument("--to", type=Path, help="write data and page to this directory")
    arguments = parser.parse_args()
    to = arguments.to or evidence_pages.EVIDENCE
    (to / "data").mkdir(parents=True, exist_ok=True)
    for name in COMMANDS if "all" in arguments.measure else arguments.measure:
        command = COMMANDS[name][1 if arguments.quick else 0]
        replace(measure(name, [command], to), note=arguments.note).write(to / "data" / _file(name))
    (to / f"{NAME}.md").write_text(page(kept(to / "data")))


def kept(data: Path = evidence_pages.DATA) -> Mapping[str, Measured]:
    """Return each measurement from the directory *data*, or the published one if that has none."""
    paths = {name: data / _file(name) for name in COMMANDS}
    return {
        name: Measured.read(path if path.exists() else evidence_pages.DATA / path.name)
        for name, path in paths.items()
    }


def _file(name: str) -> str:
    return f"{NAME}-{name}.json"


def page(known: Mapping[str, Measured]) -> str:
    """Return the text of the page."""
    rows, guest, growth = (known[name] for name in ("rows", "guest", "growth"))
    return filled(
        NAME,
        {
            "goals": "\n\n".join(_goals(rows)),
            "rows": _with_origin(turns_table(rows.document["measured"]), rows),
            "guest": _with_origin(turns_table(guest.document["measured"]), guest),
            "devices": growth_table(growth.document["devices"], "devices", _DEVICES),
            "mapped": _with_origin(growth_table(growth.document["mapped"], "mapped_blocks", _MAPPED), growth),
        },
    )


def _goals(measured: Measured) -> Iterator[str]:
    results = thin_goals.results(measured.document["measured"])
    known = [each for each in results if each.ratio is not None]
    reached = sum(not each.missed for each in known)
    over = sum(each.reached_over_uring for each in known)
    with_it = f", {over} with FUSE over io_uring" if over else ""
    yield f"**{reached} of {len(results)} goals are reached{with_it}.** {measured.note}".strip()
    rows = [
        (
            each.goal.row.name,
            f"{each.goal.contender} / {each.goal.reference}",
            f"{each.goal.least:g}",
            _ratio(each.ratio),
            each.verdict,
            _ratio(each.over_uring),
            each.verdict_over_uring,
            _ratio(each.no_store),
            _ratio(each.limit),
        )
        for each in results
    ]
    head = "row", "ratio", "goal", "measured", "reached", "FUSE over io_uring", "reached", "no store", "limit"
    yield table(head, rows)


def turns_table(measured: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with the figure of the plain loop device, and the ratio of every other contender."""
    found = {(each["row"], each["contender"]): each for each in measured}
    units = {each["row"]: each["unit"] for each in measured}
    others = [name for name in dict.fromkeys(each["contender"] for each in measured) if name != PLAIN]
    rows = [
        (
            f"{row} ({unit})",
            _short(found[row, PLAIN]["median"]),
            *(_ratio(_interval(found[row, other]["ratios"])) for other in others),
        )
        for row, unit in units.items()
    ]
    return table(("row", PLAIN, *others), rows)


def growth_table(steps: Sequence[Mapping[str, float]], along: str, columns: Mapping[str, str]) -> str:
    """Return a table with a row per step of growth."""
    rows = []
    for step in steps:
        cells = [
            f"{_short(step[name])}, {step[f'{name}_ratio']:.2f} "
            f"({step[f'{name}_ratio_low']:.2f} to {step[f'{name}_ratio_high']:.2f})"
            for name in columns
        ]
        first = [_short(step["first_random_read"])] if "first_random_read" in step else []
        grown = [_short(step["grown_mib"])] if "grown_mib" in step else []
        rows.append((f"{step[along]:,.0f}", *first, *cells, _short(step["daemon_mib"]), *grown))
    mapped = along == "mapped_blocks"
    head = (
        along.replace("_", " "),
        *(["first random reads"] if mapped else []),
        *columns.values(),
        "memory, MiB",
        *(["growth, MiB"] if mapped else []),
    )
    return table(head, rows)


def _with_origin(text: str, measured: Measured) -> str:
    around = measured.document["environment"]
    machine = ", ".join(f"{name} {around[name]}" for name in _MACHINE)
    return f"{text}\n\n{measured.origin()} The machine: {machine}."


def _interval(ratios: Sequence[float]) -> Interval | None:
    return median_interval(ratios) if ratios else None


def _ratio(ratio: Interval | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()

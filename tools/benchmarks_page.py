"""``python -m tools.benchmarks_page`` writes docs/evidence/benchmarks.md from the measurements that are kept.

``--measure NAME`` (or ``all``) first runs the command of a benchmark, which takes from seconds to ten minutes
and mostly needs root, and keeps what it wrote. ``--quick`` runs the short forms, which show that the commands
work and measure little; ``--to DIRECTORY`` then keeps the data and the page apart from the published ones.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinsim.benchmark.comparison import within
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.intervals import Interval
from tools import evidence_pages
from tools.evidence_pages import Measured, filled, measured_now, table

Rows = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The head of a table, and its rows."""

_CORE = "--contender emulated/core/off --contender emulated/core/on --contender emulated/core/committed"
_GROWN = "thinsim bench --contender emulated/core/off --contender emulated/core/on --rounds 3 --image-mb 10"
_DISK = "thinsim bench --contender process/core/off --contender process/core/on"


@dataclass(frozen=True, slots=True)
class BenchmarkTable:
    """A `BenchmarkTable` names the commands of a measurement and makes its table.

    Each command writes its JSON to the file after ``--json``; the document of the last is kept. *quick* has
    the commands of the short form.
    """

    commands: Sequence[str]
    quick: Sequence[str]
    rows: Callable[[Any], Rows]


def backing(document: Mapping[str, Any]) -> Rows:
    """Return the plain file's figures, and the ratio of every other contender to it."""
    found = {(each["row"], each["contender"]): each for each in document["measured"]}
    units = {each["row"]: each["unit"] for each in document["measured"]}
    first, *others = dict.fromkeys(each["contender"] for each in document["measured"])
    rows = [
        (
            f"{row} ({unit})",
            _short(found[row, first]["median"]),
            *(_ratio(found[row, other]["ratio"]) for other in others),
        )
        for row, unit in units.items()
    ]
    names = (each.removeprefix("fuse-backing, ").removeprefix("libfuse ") for each in others)
    return ("row", first, *names), rows


def engine(document: Mapping[str, Any]) -> Rows:
    """Return a row per size of the pool."""
    columns = {
        "blocks": ("mapped_blocks", "{:.0e}"),
        "provision": ("provisioned_per_second", "{:,}"),
        "look up": ("looked_up_per_second", "{:,}"),
        "break sharing": ("sharing_broken_per_second", "{:,}"),
        "discard": ("discarded_per_second", "{:,}"),
        "open": ("open_ms", "{:.2f}"),
        "snapshot": ("snapshot_ms", "{:.2f}"),
        "delete": ("delete_ms", "{:.2f}"),
        "MiB": ("resident_mib_of_the_open_pool", "{:.1f}"),
    }
    rows = [[form.format(pool[key]) for key, form in columns.values()] for pool in document["pools"]]
    return list(columns), [[_power(blocks), *figures] for blocks, *figures in rows]


def _power(number: str) -> str:
    """Return ``1e+03`` as 10³, which needs less room than 1,000."""
    _, _, exponent = number.partition("e+")
    return "10" + str(int(exponent)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def removal(document: Mapping[str, Mapping[str, Sequence[float]]]) -> Rows:
    """Return the median of each wait with the least and the most, and its ratio to the first contender's."""
    reference = next(iter(document.values()))["prepare"]
    rows = []
    for name, taken in document.items():
        waits = taken["prepare"]
        ratio = statistics.median(one / other for one, other in zip(waits, reference, strict=True))
        removals = f"{statistics.median(taken['remove']):.0f}" if taken["remove"] else ""
        wait = f"{statistics.median(waits):.0f} ({min(waits):.0f} to {max(waits):.0f})"
        rows.append((name, wait, f"{ratio:.2f}", removals))
    return ("snapshotter", "prepare", "ratio", "removal"), rows


def dropin(document: Mapping[str, Sequence[float]]) -> Rows:
    """Return the median of each call, beside the median of the daemon's part in it."""
    medians = {name.strip(): statistics.median(values) for name, values in document.items()}
    rows = []
    for name, median in medians.items():
        command = name.removeprefix("dmsetup ")
        if command != name:
            part = next((each for key, each in medians.items() if key.endswith(f"part of {command}")), None)
            rows.append((f"`{name}`", f"{median:.1f}", "" if part is None else f"{part:.2f}"))
    return ("call", "whole process", "part of the daemon"), rows


def startup(document: Mapping[str, Mapping[str, Sequence[float]]]) -> Rows:
    """Return the median and the least wall time, and the median processor time."""
    rows = [
        (
            f"`{name}`",
            f"{statistics.median(taken['wall']):.2f}",
            f"{min(taken['wall']):.2f}",
            f"{statistics.median(taken['processor']):.2f}",
        )
        for name, taken in document.items()
    ]
    return ("command", "median", "fastest", "processor time"), rows


def bench(document: Mapping[str, Any]) -> Rows:
    """Return the median of every row and its ratio to the first contender; single processes are left out."""
    measured = Benchmark.model_validate(document)
    (sizes,) = measured.sizes
    first, *others = measured.contenders
    judged = within(measured)
    rows = []
    for row in measured.rows:
        if row.startswith(_PER_PROCESS) and not row.endswith("all processes"):
            continue
        by_contender = {each.contender: each for each in judged if (each.row, each.sizes) == (row, sizes)}
        unit = by_contender[first].unit
        cells = [_figure(by_contender[first].second)]
        cells += [_beside(by_contender[other].second, by_contender[other].ratio) for other in others]
        rows.append((f"{row}, {unit}".rstrip(", "), *cells))
    return ("", *(f"`{each.removeprefix('emulated/')}`" for each in (first, *others))), rows


_PER_PROCESS = ("processor time", "peak memory", "read by", "written by")


def grown(document: Mapping[str, Any]) -> Rows:
    """Return the last contender's medians, one column per size."""
    measured = Benchmark.model_validate(document)
    contender = measured.contenders[-1]
    found = {(each.row, each.sizes): each for each in measured.series if each.contender == contender}
    rows = []
    for row in dict.fromkeys(row for row, _ in found):
        if row.startswith(_GROWS):
            unit = found[row, measured.sizes[0]].unit
            medians = [
                _number(statistics.median(found[row, each].known)) if found[row, each].known else "-"
                for each in measured.sizes
            ]
            rows.append((f"{row}, {unit}".rstrip(", "), *medians))
    return (f"`{contender}`", *(each.rpartition(", ")[2] for each in measured.sizes)), rows


_GROWS = ("freed", "hole punches", "remove the container", "processor time, all", "peak memory")


def compared(document: Mapping[str, Any]) -> Rows:
    """Return both medians of every row, their ratio and the verdict; single processes are left out."""
    rows = [
        (
            f"{each['row']}, {each['unit']}".rstrip(", "),
            f"`{each['contender'].removeprefix('process/core/')}`",
            *(_number(each[side]["median"]) if each[side] else "-" for side in ("first", "second")),
            _interval(each["ratio"]),
            f"*{each['verdict']}*",
        )
        for each in document["compared"]
        if not each["row"].startswith(_PER_PROCESS)
    ]
    return ("", "`discard_blocks`", "A", "B", "B to A", "verdict"), rows


def _interval(ratio: Mapping[str, float] | None) -> str:
    return "" if ratio is None else f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _beside(figure: Interval | None, ratio: Interval | None) -> str:
    if ratio is None:
        return _figure(figure)
    between = f", {ratio.low:.2f} to {ratio.high:.2f}" if ratio.confidence else ""
    return f"{_figure(figure)} ({ratio.median:.2f}{between})"


def _figure(figure: Interval | None) -> str:
    return "-" if figure is None else _number(figure.median)


def _number(value: float) -> str:
    return f"{value:.{0 if value >= 1000 else 1 if value >= 100 else 2}f}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


_PYTHON = "python -m benchmarks."
TABLES = {
    "backing": BenchmarkTable(
        [f"{_PYTHON}backing --json JSON --plot EVIDENCE/backing-benchmark.svg"],
        [f"{_PYTHON}backing --json JSON --quick --rounds 1"],
        backing,
    ),
    "names": BenchmarkTable(
        [f"{_PYTHON}names --json JSON --plot EVIDENCE/names-benchmark.svg"],
        [f"{_PYTHON}names --json JSON --quick --rounds 1"],
        backing,
    ),
    "engine": BenchmarkTable(
        [f"{_PYTHON}engine --up-to 7 --json JSON --plot EVIDENCE/engine-benchmark.svg"],
        [f"{_PYTHON}engine --up-to 4 --json JSON"],
        engine,
    ),
    "removal": BenchmarkTable(
        [f"{_PYTHON}removal --json JSON"], [f"{_PYTHON}removal --rounds 1 --size 16 --json JSON"], removal
    ),
    "dropin": BenchmarkTable(
        [f"{_PYTHON}dropin --json JSON"], [f"{_PYTHON}dropin --calls 5 --json JSON"], dropin
    ),
    "startup": BenchmarkTable(
        [f"{_PYTHON}startup --json JSON"], [f"{_PYTHON}startup --calls 3 --json JSON"], startup
    ),
    "bench": BenchmarkTable(
        [
            f"thinsim bench {_CORE} --contender emulated/containerd/on "
            "--image-mb 20 --container-mb 20 --json JSON"
        ],
        [f"thinsim bench {_CORE} --rounds 1 --warm-up 0 --image-mb 4 --container-mb 4 --json JSON"],
        bench,
    ),
    "bench-grown": BenchmarkTable(
        [f"{_GROWN} --container-mb 10 --container-mb 40 --json JSON"],
        [f"{_GROWN.replace('s 3', 's 1')} --warm-up 0 --container-mb 4 --container-mb 5 --json JSON"],
        grown,
    ),
    "bench-compared": BenchmarkTable(
        [
            f"{_DISK} --rounds 8 --json before.json",
            f"{_DISK} --rounds 8 --dir /dev/shm --json after.json",
            "thinsim compare before.json after.json --json JSON",
        ],
        [
            f"{_DISK} --rounds 1 --warm-up 0 --json before.json",
            f"{_DISK} --rounds 1 --warm-up 0 --dir /dev/shm --json after.json",
            "thinsim compare before.json after.json --json JSON",
        ],
        compared,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="append", default=[], choices=[*TABLES, "all"], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="short forms, which measure little")
    parser.add_argument("--to", type=Path, help="write data and page to this directory")
    arguments = parser.parse_args()
    if arguments.quick and arguments.to is None:
        parser.error("--quick measures little, so it needs --to DIRECTORY")
    to = arguments.to or evidence_pages.EVIDENCE
    data = to / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name in TABLES if "all" in arguments.measure else arguments.measure:
        commands = TABLES[name].quick if arguments.quick else TABLES[name].commands
        measure(name, commands, to).write(data / f"{name}.json")
    known = {name: _newest(name, data) for name in TABLES}
    (to / "benchmarks.md").write_text(page(known))


def measure(name: str, commands: Sequence[str], to: Path) -> Measured:
    """Run *commands* of benchmark *name* and return what the last of them wrote; pictures go to *to*."""
    with tempfile.TemporaryDirectory(prefix="thinsim-evidence-") as scratch:
        for command in commands:
            print(f"{name}: {_shown(command)}", file=sys.stderr)
            line = command.replace("JSON", f"{scratch}/document.json").replace("EVIDENCE", f"{to}")
            program, *words = shlex.split(line)
            run = [sys.executable, "-m", "thinsim"] if program == "thinsim" else [sys.executable]
            words = [
                f"{scratch}/{word}" if word.endswith(("before.json", "after.json")) else word
                for word in words
            ]
            subprocess.run([*run, *words], check=True)
        document = json.loads(Path(scratch, "document.json").read_text())
    return measured_now("\n".join(map(_shown, commands)), document)


def _shown(command: str) -> str:
    """Return *command* without its outputs, as the page shows it."""
    return command.partition(" --json JSON")[0]


def _newest(name: str, data: Path) -> Measured:
    path = data / f"{name}.json"
    return Measured.read(path if path.exists() else evidence_pages.DATA / path.name)


def page(known: Mapping[str, Measured]) -> str:
    """Return the text of the page."""
    return filled("benchmarks", {name: "\n\n".join(_part(name, each)) for name, each in known.items()})


def _part(name: str, measured: Measured) -> Iterator[str]:
    if measured.command.startswith("thinsim"):
        yield f"```\n{measured.command}\n```"
    head, rows = (measured.head, measured.rows) if measured.rows else TABLES[name].rows(measured.document)
    yield table(head, rows)
    yield measured.origin()


if __name__ == "__main__":
    main()

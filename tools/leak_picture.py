"""A picture shows pool and disk after each phase of one real run: README.md begins with it.

``make pictures`` runs ``thinsim reproduce --setting on --json`` and draws what it measured, light and dark.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1 << 20
WIDTH, HEIGHT = 860, 350
"""Pixels of the picture."""

TOP, BASE, LEFT, STEP, BAR = 84, 288, 60, 200, 58
"""Pixels: the highest bar's top, the bars' foot, the first bar's left, phase to phase, a bar's width."""

CAPTIONS = {
    "image imported": "image pulled",
    "container ran": "container ran",
    "container removed": "container removed",
    "image removed": "image removed",
}
"""Each phase of the run that has bars, with the words below them."""


@dataclass(frozen=True, slots=True)
class Colors:
    """`Colors` are those of one scheme, as CSS writes them."""

    ground: str
    text: str
    faint: str
    pool: str
    disk: str
    leak: str


SCHEMES = {
    "light": Colors("#ffffff", "#1f2328", "#59636e", "#2f6feb", "#8c959f", "#cf222e"),
    "dark": Colors("#0d1117", "#f0f6fc", "#9198a1", "#6ca4f8", "#6e7681", "#ff7b72"),
}


@dataclass(frozen=True, slots=True)
class Level:
    """A `Level` has the bytes that the pool uses and the disk holds when a phase ends, and those leaked."""

    caption: str
    pool: int
    disk: int
    leaked: int


def levels_of(run: dict[str, Any], block_bytes: int) -> list[Level]:
    """Return a level per phase: *run* is one of the runs of ``thinsim reproduce --json``."""
    last = {sample["phase"]: sample for sample in run["samples"]}
    return [
        Level(
            caption,
            last[phase]["pool_used_blocks"] * block_bytes,
            last[phase]["host_allocated"],
            last[phase]["leaked"],
        )
        for phase, caption in CAPTIONS.items()
    ]


def drawn(levels: list[Level], colors: Colors) -> str:
    """Return the picture as SVG."""
    most = max(max(level.pool, level.disk) for level in levels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="system-ui, -apple-system, Segoe UI, sans-serif">',
        f"<title>{_finding(levels)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{colors.ground}"/>',
        _text(LEFT, 34, _finding(levels), colors.text, size=19, weight=600),
        _key(LEFT, 58, colors.pool, "in use in the thin pool", colors),
        _key(LEFT + 200, 58, colors.disk, "allocated on the disk", colors),
        _key(LEFT + 390, 58, colors.leak, "leaked: allocated, and nothing uses it", colors),
    ]
    for number, level in enumerate(levels):
        left = LEFT + number * STEP
        parts += _bar(left, level.pool, 0, most, colors.pool, colors)
        parts += _bar(left + BAR + 8, level.disk, level.leaked, most, colors.disk, colors)
        parts.append(_text(left + BAR + 4, BASE + 24, level.caption, colors.text, anchor="middle"))
    foot = "containerd's devmapper snapshotter, discard_blocks = true; measured by thinsim reproduce"
    parts += [
        f'<path d="M{LEFT - 12} {BASE}H{WIDTH - 40}" stroke="{colors.faint}"/>',
        _text(LEFT, HEIGHT - 14, foot, colors.faint, size=12),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _finding(levels: list[Level]) -> str:
    return f"Everything is removed. The disk still holds {round(levels[-1].leaked / MIB)} MiB."


def _bar(left: int, size: int, leaked: int, most: int, color: str, colors: Colors) -> list[str]:
    height = round((BASE - TOP - 16) * size / most)
    red = round((BASE - TOP - 16) * leaked / most)
    parts = []
    if height > red:
        parts.append(_rect(left, BASE - height, height - red, color))
    if red:
        parts.append(_rect(left, BASE - red, red, colors.leak))
    number = f"{round(size / MIB)} MiB" if size else "0"
    parts.append(
        _text(
            left + BAR // 2, BASE - height - 7, number, colors.leak if red else colors.text, anchor="middle"
        )
    )
    return parts


def _rect(left: int, top: int, height: int, color: str) -> str:
    return f'<rect x="{left}" y="{top}" width="{BAR}" height="{height}" rx="3" fill="{color}"/>'


def _key(left: int, base: int, color: str, words: str, colors: Colors) -> str:
    return (
        f'<rect x="{left}" y="{base - 10}" width="12" height="12" rx="2" fill="{color}"/>'
        f"{_text(left + 18, base, words, colors.faint, size=13)}"
    )


def _text(
    left: int, base: int, words: str, color: str, *, size: int = 14, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f'<text x="{left}" y="{base}" fill="{color}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{words}</text>'
    )


def main() -> None:
    """Run ``thinsim reproduce``, or read the document of such a run, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="the directory of leak-light.svg and leak-dark.svg")
    parser.add_argument(
        "--document", type=Path, help="draw this document of thinsim reproduce --json instead"
    )
    arguments, more = parser.parse_known_args()  # the rest belongs to thinsim reproduce
    with tempfile.TemporaryDirectory() as scratch:
        path = arguments.document or Path(scratch, "run.json")
        if arguments.document is None:
            command = [sys.executable, "-m", "thinsim", "reproduce", "--setting", "on", "--json", path, *more]
            subprocess.run(command, check=True)
        document = json.loads(path.read_text())
    (run,) = [run for run in document["runs"] if run["setting"] == "on"]
    levels = levels_of(run, document["pool"]["block_bytes"])
    for scheme, colors in SCHEMES.items():
        to = arguments.directory / f"leak-{scheme}.svg"
        to.write_text(drawn(levels, colors))
        print(to)


if __name__ == "__main__":
    main()

"""`read`, `to_record` and `take_in` read a recording, list the sections that it lacks, and add one.

The file has one JSON line per step. ``unanswered`` in the last line of a section is the reason why this step
and the later ones have no answer.
"""

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pool_life_steps import LifeStep

ANSWERS = {"section", "at", "error", "pool", "events", "unanswered"}

Sections = Mapping[str, Sequence[LifeStep]]


def file_of_this_kernel(directory: Path) -> Path:
    """Return the file for the answers of this kernel: each kernel has its own."""
    version = ".".join(platform.release().split(".")[:2])
    return directory / f"linux-{version}-pool-life.jsonl"


def read(path: Path) -> dict[str, list[LifeStep]]:
    """Return the recorded steps by section; none if the file does not exist."""
    recorded: dict[str, list[LifeStep]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        step = json.loads(line)
        recorded.setdefault(step["section"], []).append(step)
    return recorded


def asked(answered: LifeStep) -> LifeStep:
    """Return the step without its answer."""
    step = {name: value for name, value in answered.items() if name not in ANSWERS}
    if step["act"] != "message":
        step.pop("text", None)
    return step


def is_recorded(steps: Sequence[LifeStep], answered: Sequence[LifeStep]) -> bool:
    """Return whether exactly these steps were carried out, as far as the kernel answered."""
    if not answered:
        return False
    known = [asked(step) for step in answered]
    return known == list(steps[: len(known)] if "unanswered" in answered[-1] else steps)


def to_record(sections: Sections, recorded: Mapping[str, Sequence[LifeStep]], pattern: str = "") -> list[str]:
    """Return the sections whose names match *pattern*, or without it, those that are missing or have changed.

    LookupError if no name matches; ``re.error`` if *pattern* is malformed.
    """
    if not pattern:
        return [name for name, steps in sections.items() if not is_recorded(steps, recorded.get(name, ()))]
    names = [name for name in sections if re.search(pattern, name)]
    if not names:
        raise LookupError(f"no section is named like {pattern!r}")
    return names


def take_in(path: Path, section: str, answered: Iterable[LifeStep], order: Iterable[str]) -> None:
    """Put a section into the file, in the *order* of the sections, and drop sections that no longer exist.

    The file is replaced atomically.
    """
    recorded = read(path) | {section: list(answered)}
    lines = [json.dumps(step) for name in order for step in recorded.get(name, ())]
    new = path.with_suffix(".new")
    with new.open("w") as made:
        made.write("".join(f"{line}\n" for line in lines))
        made.flush()
        os.fsync(made.fileno())
    new.replace(path)

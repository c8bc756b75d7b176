"""From the text of a scenario file to a checked Scenario; all problems at once, each with line and key."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from thinsim.errors import InvalidValueError
from thinsim.measure.attribution import reason_words
from thinsim.scenario.file.document import OWN_KEYS, Scenario
from thinsim.scenario.file.location import line_of
from thinsim.scenario.file.steps import Assert, Import
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.errors import InvalidConfigError

_Problem = tuple[Sequence[str | int], str]


class InvalidScenarioError(InvalidValueError):
    """A scenario file is malformed; *problems* holds each as ``FILE:LINE: KEY: what is wrong``."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(path: Path) -> Scenario:
    """Read a scenario file. InvalidScenarioError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidScenarioError([f"{path}: {reason}"]) from None
    return parse(text, str(path))


def parse(text: str, source: str) -> Scenario:
    """Read the text of a scenario file, called *source* in errors. InvalidScenarioError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column (\d+)\)", str(error))
        where = f"{source}:{place[1]}" if place else f"{source}:{text.count(chr(10)) + 1}"
        what = str(error).removesuffix(place[0]) if place else str(error)
        raise InvalidScenarioError([f"{where}: no TOML: {what}"]) from None
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as error:
        problems = [_problem(document, each) for each in error.errors(include_url=False)]
    else:
        problems = [*_snapshotter_problems(scenario), *_step_problems(scenario)]
        if not problems:
            return scenario
    raise InvalidScenarioError(
        [f"{source}:{line_of(text, path)}: {_key(path)}: {what}" for path, what in problems]
    ) from None


def _problem(document: Any, error: Any) -> _Problem:
    """Return path and text of what pydantic found; its path also names the kind of a step."""
    path: list[str | int] = []
    place = document
    for part in error["loc"]:
        if isinstance(place, dict) and (part in place or part != place.get("do")):
            place = place.get(part)
        elif isinstance(place, list) and isinstance(part, int):
            place = place[part]
        else:
            continue
        path.append(part)
    kind, text = error["type"], error["msg"]
    if kind == "missing":
        text = "is missing"
    elif kind == "extra_forbidden":
        text = "unknown key"
    elif kind == "union_tag_not_found":
        path.append("do")
        text = "is missing: it says what the step does"
    elif kind == "union_tag_invalid":
        path.append("do")
        text = f"there is no step {error['ctx']['tag']!r}; there are {error['ctx']['expected_tags']}"
    else:
        text = text.removeprefix("Value error, ").removeprefix("Input should be ")
        text = text if kind == "value_error" else f"must be {text}, not {error['input']!r}"
    return path, text


def _key(path: Sequence[str | int]) -> str:
    """Return a path as TOML people write it: ``phase[2].steps[1].size``, counted from 1 as lines are."""
    words = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.removeprefix(".") or "the file"


def _snapshotter_problems(scenario: Scenario) -> Iterator[_Problem]:
    known = {field.name for field in fields(Config)}
    places: list[tuple[Sequence[str | int], dict[str, Any]]] = [(("snapshotter",), scenario.snapshotter)]
    places += [
        (("variant", number, "snapshotter"), variant.snapshotter)
        for number, variant in enumerate(scenario.variant)
    ]
    for place, table in places:
        for key in OWN_KEYS:
            if key in table:
                yield [*place, key], "is chosen by the run"
        checked = {"root_path": "/", "pool_name": "pool", "base_image_size": "256MB"}
        checked |= {key: value for key, value in table.items() if key not in OWN_KEYS}
        try:
            Config.from_table(checked)
        except InvalidConfigError as error:
            for problem in error.problems:
                words = re.findall(r"\w+", problem)
                at_fault = [word for word in words if word in known or word in table][:1]
                yield [*place, *at_fault], problem


def _step_problems(scenario: Scenario) -> Iterator[_Problem]:
    """What no step shows by itself: names of variants and phases, an import of nothing."""
    variants = {variant.name for variant in scenario.variant}
    phases: set[str] = set()
    for number, phase in enumerate(scenario.phase):
        phases.add(phase.name)
        for position, step in enumerate(phase.steps):
            place = ("phase", number, "steps", position)
            for name in step.only:
                if name not in variants:
                    yield [*place, "only"], f"there is no variant {name!r}"
            if isinstance(step, Import) and bool(step.image) == bool(step.size):
                yield place, "an import has either an image or a size"
            if isinstance(step, Assert):
                yield from _assert_problems(step, place, phases)


def _assert_problems(step: Assert, place: Sequence[str | int], phases: set[str]) -> Iterator[_Problem]:
    if not step.model_fields_set - {"do", "only", "why"}:
        yield place, "asserts nothing"
    for name, limits in step:
        phase = getattr(limits, "same_as", None)
        if phase is not None and phase not in phases:
            yield [*place, name, "same_as"], f"there is no phase {phase!r} up to here"
    known = list(reason_words().values())
    for word in step.reasons or ():
        if word not in known:
            yield [*place, "reasons"], f"there is no reason {word!r}; there are {', '.join(known)}"

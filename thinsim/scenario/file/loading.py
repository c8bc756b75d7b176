"""`load` reads and checks a scenario file; its error lists all problems, each with line and key."""

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from thinsim.errors import InvalidValueError
from thinsim.scenario.file.complaints import Complaint, problem
from thinsim.scenario.file.document import Scenario
from thinsim.scenario.file.location import line_of
from thinsim.scenario.file.meaning import meaning_problems


class InvalidScenarioError(InvalidValueError):
    """An `InvalidScenarioError` lists the *problems* of a scenario file, each as ``FILE:LINE: KEY: TEXT``."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(path: Path) -> Scenario:
    """Read a scenario file. InvalidScenarioError if it is malformed or cannot be read."""
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidScenarioError([f"{path}:{line}: not UTF-8 text"]) from None
    except OSError as error:
        raise InvalidScenarioError([f"{path}: {error.strerror or error}"]) from None
    return parse(text, str(path), path.parent)


def parse(text: str, source: str, base: Path | None = None) -> Scenario:
    """Return the scenario in *text*, the content of a file that errors call *source*. InvalidScenarioError.

    With *base*, the directory for its relative paths, the images that it names must exist.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column (\d+)\)", str(error))
        where = f"{source}:{place[1]}" if place else f"{source}:{text.count(chr(10)) + 1}"
        what = str(error).removesuffix(place[0]) if place else str(error)
        raise InvalidScenarioError([f"{where}: not valid TOML: {what}"]) from None
    problems = list(meaning_problems(document, base))
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as error:
        problems += [problem(document, each) for each in error.errors(include_url=False)]
    else:
        if not problems:
            return scenario
    raise InvalidScenarioError(problem_lines(problems, text, source)) from None


def problem_lines(problems: Iterable[Complaint], text: str, source: str) -> list[str]:
    """Return each of *problems* as ``SOURCE:LINE: KEY: TEXT``, sorted by line; *text* is the file."""
    ordered = sorted({(line_of(text, path), f"{_key(path)}: {what}") for path, what in problems})
    return [f"{source}:{line}: {what}" for line, what in ordered]


def _key(path: Sequence[str | int]) -> str:
    """Return a path in the form ``phase[2].steps[1].size``, counted from 1 as lines are."""
    words = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.removeprefix(".") or "the file"

"""Finds the scenarios that come with thinsim by name, and what a command line's name or path means."""

from dataclasses import dataclass
from pathlib import Path

from thinsim.did_you_mean import unknown_name
from thinsim.errors import UnknownNameError
from thinsim.scenario.file.document import Scenario
from thinsim.scenario.file.loading import load

DIRECTORY = Path(__file__).with_name("library")


@dataclass(frozen=True, slots=True)
class FoundScenario:
    """A scenario as it was called, where it is, its text, and what it says."""

    name: str
    path: Path
    text: str
    scenario: Scenario

    @property
    def base(self) -> Path:
        """What relative paths in it are relative to."""
        return self.path.parent


def library_names() -> list[str]:
    """Return the names of the library, sorted."""
    return sorted(path.stem for path in DIRECTORY.glob("*.toml"))


def find_scenario(name: str) -> FoundScenario:
    """Return the file *name*, or the library's scenario of that name; a file goes first.

    InvalidValueError if there is neither, InvalidScenarioError if it is malformed.
    """
    path = Path(name)
    if not path.is_file():
        if "/" in name or path.suffix == ".toml":
            raise UnknownNameError(
                f"scenario file {name} does not exist. To write one, run: thinsim scenarios new {name}"
            )
        path = DIRECTORY / f"{name}.toml"
        if not path.is_file():
            raise UnknownNameError(unknown_name("scenario", name, library_names()))
    scenario = load(path)  # first: it tells what can't be read
    return FoundScenario(name, path, path.read_text(), scenario)

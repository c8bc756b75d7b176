"""`find_scenario` finds a scenario by its path, or by its name in the library of thinsim."""

from dataclasses import dataclass
from pathlib import Path

from thinsim.did_you_mean import unknown_name
from thinsim.errors import UnknownNameError
from thinsim.scenario.file.document import Scenario
from thinsim.scenario.file.loading import load

DIRECTORY = Path(__file__).with_name("library")


@dataclass(frozen=True, slots=True)
class FoundScenario:
    """A `FoundScenario` is a scenario with the name that the user gave, its path and its text."""

    name: str
    path: Path
    text: str
    scenario: Scenario

    @property
    def base(self) -> Path:
        """Return the directory for relative paths in the scenario."""
        return self.path.parent


def library_names() -> list[str]:
    """Return the names of the scenarios in the library, sorted."""
    return sorted(path.stem for path in DIRECTORY.glob("*.toml"))


def find_scenario(name: str) -> FoundScenario:
    """Return the scenario in the file *name*, or else the library's scenario of that name.

    UnknownNameError if neither exists, InvalidScenarioError if the scenario is malformed.
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
    scenario = load(path)  # before read_text: its error names the reason why a file cannot be read
    return FoundScenario(name, path, path.read_text(), scenario)

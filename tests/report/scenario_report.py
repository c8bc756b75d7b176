"""`run_library` and `run_text` return the report of a real run on the rig without mounts."""

from pathlib import Path

import trio

from tests.silent_progress import SilentProgress
from thinsim.report.document import Report
from thinsim.report.scenario_report import report_of
from thinsim.rig.process import PROCESS
from thinsim.scenario.file.library import find_scenario
from thinsim.scenario.file.loading import parse
from thinsim.scenario.file.run import ScenarioRequest, run_scenario


def run_library(name: str, directory: Path) -> Report:
    found = find_scenario(name)
    request = ScenarioRequest(found.scenario, name, found.text, PROCESS, found.base, directory=directory)
    return report_of(trio.run(run_scenario, request, SilentProgress()))


def run_text(text: str, directory: Path) -> Report:
    request = ScenarioRequest(parse(text, "t"), "t.toml", text, PROCESS, directory, directory=directory)
    return report_of(trio.run(run_scenario, request, SilentProgress()))

"""``reproduce --rig vm`` is tested without a guest: its command, and mistakes found before a guest boots."""

from functools import partial
from pathlib import Path

import pytest
import trio

from tests.silent_progress import SilentProgress
from thinsim.errors import InvalidValueError, ProgramFailedError
from thinsim.guests.reproduction import reproduce_in_guest
from thinsim.guests.scenario import run_scenario_in_guest
from thinsim.guests.work import ReportNames, collected, in_the_guest
from thinsim.report.document import Report, to_json
from thinsim.report.reproduction_report import command_words, reproduction_report
from thinsim.rig.process import PROCESS
from thinsim.rig.setup.choice import LOOP_SCRIPT, LVM, config_toml, find_setup
from thinsim.rig.vm import VM
from thinsim.scenario.container_lifecycle import SETTINGS
from thinsim.scenario.file import library
from thinsim.scenario.file.run import ScenarioRequest
from thinsim.scenario.reproduce import Reproduction, ReproductionRequest, run_reproduction
from thinsim.snapshotter.config import Config


def test_a_set_up_and_its_file_reach_the_guest(tmp_path: Path) -> None:
    words = command_words(
        ReproductionRequest(rig=VM, settings=SETTINGS[:1], setup=LVM, sysconfig=tmp_path / "setup")
    )
    assert words[words.index("--setup") + 1] == LVM
    assert words[words.index("--sysconfig") + 1] == str(tmp_path / "setup")
    assert "--setup" not in command_words(ReproductionRequest(rig=VM, settings=SETTINGS[:1]))


def test_the_command_of_the_guest_names_its_kernel_rig_and_the_result_file(tmp_path: Path) -> None:
    words = in_the_guest(["reproduce", "--setting", "on"], tmp_path / "result.json")
    assert words[words.index("thinsim") + 1 :][:3] == ["reproduce", "--setting", "on"]
    assert words[words.index("--rig") + 1] == "kernel"
    assert words[words.index("--json") + 1] == str(tmp_path / "result.json")


def test_a_file_that_is_wrong_is_refused_before_a_guest_is_booted(tmp_path: Path) -> None:
    file = tmp_path / "setup"
    file.write_text("DEVS=/dev/sdf\nVG=containerd\n")
    request = ReproductionRequest(rig=VM, settings=SETTINGS[:1], setup=LVM, sysconfig=file)
    with pytest.raises(InvalidValueError, match=r"setup: CONTAINER_THINPOOL is required"):
        trio.run(reproduce_in_guest, request, SilentProgress())


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """Write the report of a guest's command."""

    async def run() -> Reproduction:
        return await run_reproduction(request, SilentProgress())

    request = ReproductionRequest(rig=PROCESS, settings=SETTINGS[2:], directory=tmp_path)
    path = tmp_path / "result.json"
    path.write_text(to_json(reproduction_report(request, trio.run(run), "the pool is full")))
    return path


_NAMES = ReportNames("reproduce", ["thinsim", "reproduce", "--rig", "vm"])


def test_the_report_of_a_guest_has_the_rig_and_command_of_this_machine(result: Path) -> None:
    report = collected(result, _NAMES, 0, "", (0,), print)
    assert (report.rig, report.command) == ("vm", _NAMES.command)


def test_the_report_of_a_command_that_failed_in_the_guest_is_kept(result: Path) -> None:
    kept: list[Report] = []
    with pytest.raises(ProgramFailedError, match=r"^in the guest: the pool is full \(exit status 1\)$"):
        collected(result, _NAMES, 1, "thinsim: the pool is full", (0,), kept.append)
    assert [(each.rig, each.cut_short, len(each.runs)) for each in kept] == [("vm", "the pool is full", 1)]


@pytest.mark.parametrize("text", [None, "", '{"kind": "thinsim'])
def test_a_guest_that_failed_without_a_report_has_its_error_only(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "result.json").write_text(text)
    kept: list[Report] = []
    with pytest.raises(ProgramFailedError, match="in the guest: no such image"):
        collected(tmp_path / "result.json", _NAMES, 2, "thinsim: no such image", (0,), kept.append)
    assert kept == []


@pytest.mark.parametrize(
    ("name", "pool", "discards"), [(LOOP_SCRIPT, "devpool", True), (LVM, "containerd-devpool", False)]
)
def test_the_stanza_is_a_config_toml_that_loads(
    name: str, pool: str, discards: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinsim.rig.setup.choice.find_lvm", lambda: "lvm")
    file = tmp_path / "config.toml"
    file.write_text(find_setup(name, None).config_toml)
    config = Config.load(file)
    assert (config.pool_name, config.discard_blocks, config.base_image_size) == (pool, discards, "10GB")
    assert config.root_path == Path("/var/lib/containerd/devmapper")


def test_an_awkward_pool_name_stays_one_string(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(config_toml("a--b-c", discard_blocks=False))
    assert Config.load(tmp_path / "config.toml").pool_name == "a--b-c"


def test_a_scenario_with_an_unknown_variant_boots_no_guest(tmp_path: Path) -> None:
    found = library.find_scenario("churn")
    request = ScenarioRequest(found.scenario, "churn", found.text, VM, found.base, ["nope"], tmp_path)
    with pytest.raises(InvalidValueError, match="churn: variant 'nope' does not exist; there are: discard_"):
        trio.run(partial(run_scenario_in_guest, request, found.path, SilentProgress(), fine=(0,)))

"""``thinsim baseline save`` and ``thinsim ci`` on real runs of scenarios that stay, change or vanish."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from thinsim.cli.main import status_of
from thinsim.cli.statuses import BROKEN, DONE, FAILED, INTERRUPTED, LEAKED, NOT_COMPARED, WRONG_WORDS

SCENARIO = """
title = "TITLE"
[pool]
data_size = "64MiB"
[snapshotter]
base_image_size = "32MiB"
[[variant]]
name = "off"
[[variant]]
name = "on"
snapshotter = { discard_blocks = true }
[[phase]]
name = "ran"
steps = [{ do = "prepare", key = "container" }, { do = "write", key = "container", size = "2MiB" }]
[[phase]]
name = "removed"
steps = [{ do = "remove", key = "container" }, { do = "assert", pool_used = 0 }]
"""
MORE = SCENARIO.replace('"2MiB"', '"2112KiB"')
"""One data block more."""
FAILING = SCENARIO.replace('"remove", key = "container"', '"remove", key = "gone"')


@dataclass
class GatedProject:
    """A `GatedProject` has two scenarios, ``a.toml`` and ``b.toml``, and a baseline of them."""

    directory: Path
    capsys: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    def write(self, name: str, text: str = SCENARIO) -> None:
        (self.directory / name).write_text(text.replace("TITLE", name))

    def save(self, *names: str, options: tuple[str, ...] = ()) -> int:
        return self._call("baseline", "save", *(names or ("a.toml", "b.toml")), "-o", "b.json", *options)

    def ci(self, *words: str) -> int:
        outputs = ("--junit", "j.xml", "--markdown", "m.md", "--json", "now.json")
        for name in outputs[1::2]:
            (self.directory / name).unlink(missing_ok=True)
        return self._call("ci", "--baseline", "b.json", "--no-speed", *outputs, *words)

    def timed_ci(self, *words: str) -> int:
        return self._call("ci", "--baseline", "b.json", *words)

    def _call(self, *words: str) -> int:
        common = ("--rounds", "1", "--most-rounds", "1", "--dir", str(self.directory))
        rig = () if "--rig" in words else ("--rig", "process")
        status = status_of([*words, *common, *rig])
        self.out, self.err = self.capsys.readouterr()
        return status

    @property
    def summary(self) -> str:
        return (self.directory / "m.md").read_text()

    @property
    def cases(self) -> dict[str, str]:
        """Return each JUnit case that did not pass: ``SUITE: CASE`` with the kind of its child."""
        root = ElementTree.parse(self.directory / "j.xml").getroot()
        return {
            f"{case.get('classname')}: {case.get('name')}": case[0].tag
            for case in root.iter("testcase")
            if len(case) and "speed" not in (case.get("name") or "")
        }

    @property
    def stored(self) -> dict[str, dict[str, int]]:
        """Return the leaked blocks of each variant by the key of the scenario in the baseline."""
        document = json.loads((self.directory / "b.json").read_text())
        return {
            each["key"]: {variant["name"]: variant["most_blocks"] for variant in each["variants"]}
            for each in document["scenarios"]
        }


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the text of a baseline of both scenarios. It holds for every project, wherever it lies."""
    directory = tmp_path_factory.mktemp("saved")
    for name in ("a.toml", "b.toml"):
        (directory / name).write_text(SCENARIO.replace("TITLE", name))
    words = ["baseline", "save", str(directory / "a.toml"), str(directory / "b.toml"), "--rig", "process"]
    stored = directory / "b.json"
    assert status_of([*words, "-o", str(stored), "--rounds", "1", "--most-rounds", "1", "--quiet"]) == DONE
    return stored.read_text()


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], saved: str
) -> GatedProject:
    monkeypatch.chdir(tmp_path)
    made = GatedProject(tmp_path, capsys)
    made.write("a.toml")
    made.write("b.toml")
    (tmp_path / "b.json").write_text(saved)
    return made


def test_the_same_code_again_is_no_regression(project: GatedProject) -> None:
    assert project.ci() == DONE
    assert "ok   a.toml on process: off leaks 2.2 MiB, on leaks 0 B\n" in project.out
    assert project.summary.startswith("### thinsim: no regression\n")
    assert project.cases == {}


@pytest.mark.parametrize("spelling", ["./a.toml", "../{0}/a.toml", "{1}/a.toml", "link.toml"])
def test_a_leak_is_found_however_the_scenario_is_spelt(project: GatedProject, spelling: str) -> None:
    (project.directory / "link.toml").symlink_to("a.toml")
    project.write("a.toml", MORE)
    named = spelling.format(project.directory.name, project.directory)
    assert project.ci(named) == LEAKED
    assert f"FAIL {named} on process: " in project.out
    assert "1 data block more (container: 1 data block more, " in project.out


def test_a_leak_is_found_in_a_project_that_was_moved(
    project: GatedProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.write("a.toml", MORE)
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    project.directory = moved
    monkeypatch.chdir(moved)
    assert project.ci() == LEAKED
    moved.rename(tmp_path)


def test_a_leak_is_found_in_a_file_that_was_renamed_and_in_a_renamed_variant(project: GatedProject) -> None:
    (project.directory / "a.toml").unlink()
    project.write("renamed.toml", MORE.replace('name = "off"', 'name = "out"').replace("TITLE", "a.toml"))
    assert project.ci("renamed.toml") == LEAKED
    assert "note: in the baseline, this scenario is a.toml" in project.out
    assert "note: out: in the baseline, the name of this variant is off" in project.out


def test_a_scenario_named_twice_in_two_spellings_is_refused(project: GatedProject) -> None:
    assert project.ci("a.toml", "./a.toml") == FAILED
    assert "a.toml and ./a.toml: one scenario is named twice" in project.err


def test_new_scenarios_and_variants_fail_unless_allowed(project: GatedProject) -> None:
    project.write("new.toml", SCENARIO.replace('"2MiB"', '"1MiB"'))
    assert project.ci("new.toml") == NOT_COMPARED
    assert "new: the baseline does not have this scenario" in project.out
    assert project.cases["new.toml: in the baseline"] == "failure"
    assert project.ci("new.toml", "--allow-new") == DONE
    project.write(
        "a.toml",
        SCENARIO.replace(
            "[[phase]]", '[[variant]]\nname = "x"\nsnapshotter = { discard_committed = true }\n[[phase]]', 1
        ),
    )
    assert project.ci("a.toml") == NOT_COMPARED
    assert project.cases["a.toml: x: ran"] == "failure"


def test_a_variant_that_vanished_fails_unless_allowed(project: GatedProject) -> None:
    project.write("a.toml", SCENARIO.replace('[[variant]]\nname = "off"\n', ""))
    assert project.ci("a.toml") == NOT_COMPARED
    assert project.cases["a.toml: off: ran"] == "failure"
    assert project.ci("a.toml", "--allow-missing") == DONE
    assert project.cases["a.toml: off: ran"] == "skipped"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_text("title = ["), "a.toml"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "a.toml"),
        (lambda path: path.write_text(FAILING), "snapshot 'gone' does not exist"),
        (lambda path: path.write_text(SCENARIO.replace("TITLE", "")), "title"),
    ],
)
def test_one_bad_file_is_one_error_and_the_others_are_compared(
    project: GatedProject, fault: Callable[[Path], object], says: str
) -> None:
    fault(project.directory / "a.toml")
    project.write("b.toml", MORE)
    assert project.ci() == FAILED
    assert says in project.err
    assert "FAIL a.toml could not run: " in project.out
    assert "FAIL b.toml on process: " in project.out
    assert project.cases == {"a.toml: ran": "error", "b.toml: off: leak": "failure"}
    assert project.summary.startswith("### thinsim: 1 could not run, 1 regression\n")
    assert "| a.toml |  |  |  |  |  | error |" in project.summary
    assert [each["key"] for each in json.loads(Path("now.json").read_text())["scenarios"]] == ["b.toml"]


def test_a_bad_file_named_on_the_command_line_is_one_error_as_well(project: GatedProject) -> None:
    assert project.ci("b.toml", "none.toml", "chrun") == FAILED
    assert project.cases == {"none.toml: ran": "error", "chrun: ran": "error"}
    assert "did you mean churn?" in project.out


def test_a_scenario_that_vanished_can_be_allowed(project: GatedProject) -> None:
    (project.directory / "a.toml").unlink()
    assert project.ci("--allow-missing") == DONE
    assert "a.toml is missing, which is allowed" in project.out
    assert project.cases == {"a.toml: ran": "skipped"}


def test_a_path_that_leads_to_another_file_does_not_hide_the_scenario(project: GatedProject) -> None:
    project.write("other.toml", SCENARIO.replace('"2MiB"', '"1MiB"'))
    (project.directory / "a.toml").unlink()
    (project.directory / "a.toml").symlink_to("other.toml")
    assert project.ci("--allow-new") == FAILED
    assert "a.toml could not run: its path leads to another file than in the baseline" in project.err


def test_an_assert_that_no_longer_holds_is_caught(project: GatedProject) -> None:
    project.write("a.toml", SCENARIO.replace("pool_used = 0", "pool_used = 1"))
    assert project.ci("a.toml") == BROKEN
    assert "fails now, held before: removed: pool_used = 1" in project.out
    assert "the scenario's file has changed since" in project.out


def test_a_baseline_with_an_assert_that_does_not_hold_is_not_taken_silently(project: GatedProject) -> None:
    project.write("a.toml", SCENARIO.replace("pool_used = 0", "pool_used = 1"))
    assert project.save("a.toml") == DONE
    assert "an assert does not hold, and is stored so: removed: pool_used = 1" in project.err


def test_a_baseline_is_not_stored_of_some_scenarios_alone(project: GatedProject) -> None:
    before = (project.directory / "b.json").read_text()
    project.write("a.toml", FAILING)
    assert project.save() == FAILED
    assert "a.toml could not run: " in project.err
    assert project.save("b.toml", "none.toml") == FAILED
    assert "none.toml: scenario file none.toml does not exist" in project.err
    assert (project.directory / "b.json").read_text() == before


def test_the_rig_of_the_baseline_is_the_default_and_another_one_is_not_compared(
    project: GatedProject,
) -> None:
    stored = Path("b.json").read_text()
    Path("b.json").write_text(stored.replace('"rig": "process"', '"rig": "emulated"'))
    assert project.ci("--rig", "process") == NOT_COMPARED
    said = "incomparable: off: this run was on rig process, the baseline's on emulated: not compared"
    assert said in project.out
    assert "incomparable: on" not in project.out  # it leaked nothing then, which is the same on every rig
    assert project.cases["a.toml: off: leak"] == "failure"
    assert project.ci("--rig", "process", "--allow-incomparable") == DONE
    assert project.cases["a.toml: off: leak"] == "skipped"
    Path("b.json").write_text(stored)
    assert project.ci("--rig", "auto") == DONE
    assert "on process: " in project.out


def test_other_data_blocks_than_the_baseline_s_are_not_compared(project: GatedProject) -> None:
    project.write("a.toml", SCENARIO.replace("[snapshotter]", 'block_size = "128KiB"\n[snapshotter]'))
    assert project.ci("a.toml") == NOT_COMPARED
    assert "data blocks of 128 KiB, in the baseline of 64 KiB: not compared" in project.out


def test_another_kernel_than_the_baseline_s_is_reported(project: GatedProject) -> None:
    document = json.loads(Path("b.json").read_text())
    kernel = document["scenarios"][0]["environment"]["kernel"]
    Path("b.json").write_text(json.dumps(document).replace(kernel, "Linux 1.0"))
    assert project.ci() == DONE
    said = f"environment: kernel: {kernel}, in the baseline Linux 1.0"
    assert project.out.count(said) == 1
    assert f"- {said}" in project.summary


def test_tolerances_of_one_scenario_and_in_percent_accept_a_leak(project: GatedProject) -> None:
    project.write("a.toml", MORE)
    project.write("b.toml", MORE)
    assert project.ci("--leak-tolerance", "64K") == DONE
    assert project.ci("--leak-tolerance", "./a.toml=64K") == LEAKED
    assert project.ci("a.toml", "--leak-tolerance", "a.toml=5%") == DONE
    assert project.ci("a.toml", "--leak-tolerance", "a.toml=1%") == LEAKED


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--leak-tolerance", "x", "'x'"),
        ("--leak-tolerance", "c.toml=1M", "scenario 'c.toml' does not exist; did you mean b.toml?"),
        ("--speed-tolerance", "nan", "nan"),
        ("--speed-tolerance", "0.5", "above 1"),
    ],
)
def test_a_tolerance_that_means_nothing_is_refused_before_the_work(
    project: GatedProject, option: str, value: str, says: str
) -> None:
    assert project.ci(option, value) == WRONG_WORDS
    assert f"Invalid value for {option}" in project.err
    assert says in project.err
    assert not Path("m.md").exists()


def test_one_scenario_in_two_spellings_cannot_have_two_tolerances(project: GatedProject) -> None:
    assert project.ci("--leak-tolerance", "a.toml=1M", "--leak-tolerance", "./a.toml=2M") == WRONG_WORDS
    assert "the scenario a.toml has a value already" in project.err


def test_an_update_replaces_what_ran_and_keeps_the_rest(project: GatedProject) -> None:
    before = project.stored
    project.write("a.toml", MORE)
    assert project.ci("a.toml", "--update") == DONE
    assert "leak: off" in project.out
    assert "Updated b.json: 1 scenario\n" in project.err
    assert project.stored["b.toml"] == before["b.toml"]
    assert project.stored["a.toml"]["off"] == before["a.toml"]["off"] + 1
    assert project.ci() == DONE


def test_an_update_keeps_a_scenario_that_could_not_run(project: GatedProject) -> None:
    before = project.stored
    project.write("a.toml", FAILING)
    project.write("b.toml", MORE)
    assert project.ci("--update") == FAILED
    assert project.stored["a.toml"] == before["a.toml"]
    assert project.stored["b.toml"] != before["b.toml"]


def test_an_update_drops_what_is_missing_and_renames_what_was_renamed(project: GatedProject) -> None:
    (project.directory / "a.toml").rename(project.directory / "c.toml")
    assert project.ci("c.toml", "--update") == DONE
    assert list(project.stored) == ["b.toml", "c.toml"]
    (project.directory / "b.toml").unlink()
    assert project.ci("--update", "--allow-missing") == DONE
    assert list(project.stored) == ["c.toml"]


def test_the_new_results_are_a_baseline(project: GatedProject) -> None:
    project.write("a.toml", MORE)
    assert project.ci() == LEAKED
    Path("now.json").rename("b.json")
    assert project.ci() == DONE


def test_a_baseline_that_does_not_exist_is_a_wrong_command_line(project: GatedProject) -> None:
    (project.directory / "b.json").unlink()
    assert project.ci() == WRONG_WORDS
    assert "thinsim baseline save SCENARIO... -o b.json" in project.err


def test_quiet_prints_results_and_no_progress(project: GatedProject) -> None:
    assert project.ci("--quiet") == DONE
    assert project.err == ""
    assert project.out.count("ok   ") == 2


def test_a_log_has_one_line_per_round_and_scenario(project: GatedProject) -> None:
    assert project.ci() == DONE
    assert [line for line in project.err.splitlines() if line.startswith("round")] == [
        "round 1 of 1: a.toml",
        "round 1 of 1: b.toml",
    ]
    assert "[1/2]" not in project.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_comparison_keeps_the_complete_rounds(
    project: GatedProject, number: signal.Signals
) -> None:
    words = ["ci", "--baseline", "b.json", "--rig", "process", "--rounds", "50", "--markdown", "m.md"]
    with subprocess.Popen(
        [sys.executable, "-m", "thinsim", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stderr is not None
        assert any("round 2 of 50: b.toml" in line for line in command.stderr)
        command.send_signal(number)
        out, _ = command.communicate()
    assert command.returncode == INTERRUPTED
    assert "a.toml on process: off leaks 2.2 MiB, on leaks 0 B" in out
    assert "b.toml on process: " in out
    assert project.summary.startswith("### thinsim: interrupted, incomplete")


def test_speed_is_compared_against_another_installation_in_the_same_rounds(project: GatedProject) -> None:
    status = status_of(
        [
            *("ci", "a.toml", "--baseline", "b.json", "--rig", "process", "--rounds", "1"),
            *("--most-rounds", "1", "--against", f"{sys.executable} -m thinsim", "--json", "now.json"),
        ]
    )
    out, _ = project.capsys.readouterr()
    assert status == DONE, out
    (stored,) = json.loads(Path("now.json").read_text())["scenarios"]
    assert [each["costs"][0]["processor"] > 0 for each in stored["variants"]] == [False, True]


@pytest.mark.parametrize(
    ("against", "status", "says"),
    [
        ("/none/thinsim", WRONG_WORDS, "the program /none/thinsim does not exist"),
        ("", WRONG_WORDS, "the command is empty"),
        ("'", WRONG_WORDS, "No closing quotation"),
        ("false", FAILED, "exit status 1"),
    ],
)
def test_an_installation_that_can_not_run_is_an_error_with_its_reason(
    project: GatedProject, against: str, status: int, says: str
) -> None:
    assert project.timed_ci("a.toml", "--against", against) == status
    assert says in project.err


def test_another_installation_is_refused_where_no_speed_is_compared(project: GatedProject) -> None:
    assert project.ci("a.toml", "--against", "thinsim") == WRONG_WORDS
    assert "--against cannot be used with --no-speed" in project.err


def test_a_gate_that_compares_nothing_does_not_pass(project: GatedProject) -> None:
    (project.directory / "a.toml").unlink()
    (project.directory / "b.toml").unlink()
    assert project.ci("--allow-missing") == NOT_COMPARED
    assert "nothing was compared" in project.err
    assert "nothing was compared" in project.summary
    assert project.cases == {"thinsim ci: ran": "error"}


def test_a_copy_of_a_scenario_that_is_still_there_is_new(project: GatedProject) -> None:
    (project.directory / "copy.toml").write_text((project.directory / "a.toml").read_text())
    assert project.ci("copy.toml") == NOT_COMPARED
    assert project.ci("copy.toml", "--update") == DONE
    assert sorted(project.stored) == ["a.toml", "b.toml", "copy.toml"]


def test_a_new_scenario_runs_on_the_rig_of_the_baseline(project: GatedProject) -> None:
    project.write("c.toml")
    words = ("ci", "--baseline", "b.json", "--no-speed", "--rounds", "1", "--most-rounds", "1", "c.toml")
    assert status_of([*words, "--allow-new"]) == DONE
    assert "c.toml on process" in project.capsys.readouterr().out


def test_an_update_through_a_symbolic_link_renews_the_file_and_keeps_the_link(project: GatedProject) -> None:
    before = project.stored["a.toml"]["off"]
    kept = project.directory / "kept"
    kept.mkdir()
    for name in ("a.toml", "b.toml", "b.json"):
        (project.directory / name).rename(kept / name)
    (kept / "b.json").chmod(0o640)
    (project.directory / "b.json").symlink_to("kept/b.json")
    (kept / "a.toml").write_text(MORE)
    assert project.ci("kept/a.toml", "--update") == DONE
    assert (project.directory / "b.json").is_symlink()
    assert (kept / "b.json").stat().st_mode & 0o777 == 0o640
    assert project.stored["a.toml"]["off"] == before + 1


@pytest.mark.parametrize("option", ["--json", "--junit", "--markdown"])
@pytest.mark.parametrize("name", ["b.json", "./a.toml"])
def test_an_output_does_not_replace_what_the_gate_reads(
    project: GatedProject, option: str, name: str
) -> None:
    before = (project.directory / name).read_text()
    assert project.timed_ci("a.toml", option, name) == WRONG_WORDS
    assert f"{option} would replace" in project.err
    assert (project.directory / name).read_text() == before


def test_a_baseline_does_not_replace_its_scenario(project: GatedProject) -> None:
    before = (project.directory / "a.toml").read_text()
    assert project.save("a.toml", options=("-o", "a.toml")) == WRONG_WORDS
    assert (project.directory / "a.toml").read_text() == before

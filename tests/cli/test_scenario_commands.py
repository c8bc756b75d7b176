"""``thinsim run``, ``scenarios`` and ``report`` print reports and end with their exit statuses."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

import fuse_backing.cli
from tests.cli.command_lines import Thinsim
from thinsim.cli.main import COMMANDS, commands, status_of
from thinsim.cli.statuses import BROKEN, LEAKED
from thinsim.scenario.file import library


def test_a_scenario_runs_and_writes_every_form(thinsim: Thinsim, tmp_path: Path) -> None:
    outputs = ["--html", tmp_path / "r.html", "--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml"]
    done = thinsim("run", "container-exit", "--rig", "process", "--dir", tmp_path, *outputs)
    assert done.returncode == 0, done.stderr
    assert "discard_blocks=true: 4 of 4 asserts hold" in done.stdout
    assert "rig process: requested" in done.stderr
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "r.xml").read_text().startswith("<?xml")
    again = thinsim("report", tmp_path / "r.json", "--html", tmp_path / "again.html")
    assert again.stdout == done.stdout
    assert (tmp_path / "again.html").read_text() == (tmp_path / "r.html").read_text()
    schema = json.loads(thinsim("report", "--schema").stdout)
    jsonschema.validate(json.loads((tmp_path / "r.json").read_text()), schema)


def test_leaks_and_asserts_have_exit_statuses_of_their_own(thinsim: Thinsim, tmp_path: Path) -> None:
    common = ["--rig", "process", "--dir", tmp_path]
    leaked = thinsim("run", "image-removal", *common, "--fail-on-leak", "1M")
    assert leaked.returncode == LEAKED
    assert leaked.stderr.splitlines()[3:5] == [
        "thinsim: as containerd: leaked 24.8 MiB (25952256 bytes), more than 1 MiB",
        "  layer-1 (thin 1): 8.2 MiB (8650752 bytes in 132 blocks), leaked by 'remove layer-1': "
        "committed snapshot: its device was already deactivated, so nothing was discarded",
    ]
    sound = ["--variant", "as it should", "--fail-on-leak", "0", "--json", "-"]
    done = thinsim("run", "image-removal", *common, *sound)
    assert done.returncode == 0, done.stderr
    assert [run["name"] for run in json.loads(done.stdout)["runs"]] == ["as it should"]
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('title = "t"\n[[phase]]\nname = "p"\nsteps = [{ do = "assert", pool_used = 1 }]\n')
    broken = thinsim("run", wrong, *common)
    assert broken.returncode == BROKEN
    assert "thinsim: as it is: p: assert pool_used = 1 does not hold: found 0" in broken.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (
            ["run", "contaner-exit"],
            2,
            "scenario 'contaner-exit' does not exist; did you mean container-exit?",
        ),
        (["run", "nowhere.toml"], 2, "scenario file nowhere.toml does not exist"),
        (["run", "BAD"], 1, "BAD:3: phase[1].steps[1].do: step 'jump' does not exist"),
        (
            ["run", "container-exit", "--variant", "x", "--rig", "process"],
            2,
            "container-exit: variant 'x' does not exist; there are: ",
        ),
        (
            ["run", "container-exit", "--rig", "process", "--html", "-", "--json", "-"],
            2,
            "writes to standard output already",
        ),
        (
            ["run", "churn", "--rig", "process", "--html", "BAD", "--json", "./BAD"],
            2,
            "--html writes there already",
        ),
        (["run", "GOOD", "--rig", "process", "--html", "./GOOD"], 2, "--html would replace GOOD, which"),
        (["report", "BAD", "--junit", "BAD"], 2, "--junit would replace BAD, which the command reads"),
        (["compare", "BAD", "GOOD", "--json", "GOOD"], 2, "--json would replace GOOD"),
        (["baseline", "save", "GOOD", "-o", "GOOD"], 2, "--output would replace GOOD"),
        (["scenarios", "check", "LATIN"], 1, "LATIN:2: not UTF-8 text"),
        (["run", "container-exit", "--rig", "moon"], 2, "moon"),
        (["report"], 2, "Name a DOCUMENT"),
        (["report", "BAD"], 1, "BAD is not a thinsim report"),
        (["scenarios", "check", "churn", "BAD"], 1, "BAD:3: "),
        (["scenarios", "new", "BAD"], 1, "BAD already exists"),
        (["ci", "--baseline", "BAD"], 1, "BAD is not a thinsim baseline"),
        (["ci", "--baseline", "nowhere"], 2, "thinsim baseline save SCENARIO... -o nowhere"),
        (["ci", "--baseline", "BAD", "--markdown", "nowhere/s.md"], 2, "'nowhere' is not a directory"),
        (["run", "churn", "--rig", "vm", "--json", "nowhere/r.json"], 2, "'nowhere' is not a directory"),
        (
            ["run", "BUSY", "--rig", "process"],
            1,
            "BUSY:5: phase[1].steps[1].key: remove in phase 'p': snapshot 'gone' does not",
        ),
        (
            ["baseline", "save", "churn", "-o", "b.json", "--rig", "vm"],
            1,
            "thinsim vm run --share . -- thinsim",
        ),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["scenario"], 2, "No such command 'scenario'; did you mean scenarios?"),
    ],
)
def test_a_mistake_is_explained_without_a_traceback(
    thinsim: Thinsim,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "BAD").write_text('title = "t"\n[[phase]]\nsteps = [{ do = "jump" }]\nname = "p"\n')
    (tmp_path / "LATIN").write_bytes(b'title = "t"\n# caf\xe9\n')
    good = 'title = "t"\n[[phase]]\nname = "p"\nsteps = [{ do = "prepare", key = "a" }]\n'
    (tmp_path / "GOOD").write_text(good)
    (tmp_path / "BUSY").write_text(
        'title = "t"\n[[phase]]\nname = "p"\nsteps = [\n  { do = "remove", key = "gone" },\n]\n'
    )
    done = thinsim(*arguments)
    assert done.returncode == status, done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "GOOD").read_text() == good


def test_the_library_is_listed_shown_and_copied(thinsim: Thinsim, tmp_path: Path) -> None:
    listed = json.loads(thinsim("scenarios", "list", "--json").stdout)
    assert {"name": "churn", "title": "Containers come and go on one image"}.items() <= next(
        each for each in listed if each["name"] == "churn"
    ).items()
    assert "Containers come and go on one image" in thinsim("scenarios", "list").stdout
    shown = thinsim("scenarios", "show", "churn").stdout
    done = thinsim("scenarios", "new", tmp_path / "mine.toml", "--from", "churn")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine.toml").read_text() == shown
    assert thinsim("scenarios", "check", tmp_path / "mine.toml").returncode == 0


def test_the_schema_of_scenario_files_accepts_the_library_and_refuses_malformed_files(
    thinsim: Thinsim,
) -> None:
    schema = json.loads(thinsim("scenarios", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    for name in library.library_names():
        jsonschema.validate(tomllib.loads(library.find_scenario(name).text), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"title": "t", "phase": [{"name": "p", "steps": [{"do": "jump"}]}]}, schema)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_sentence_of_the_command_s_help(name: str) -> None:
    command = commands.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.name == name
    first = " ".join(str(command.help).split("\n\n")[0].split())
    assert first == COMMANDS[name].summary


@pytest.mark.parametrize(
    ("before", "code", "light"),
    [
        ("pass", "from thinsim.cli.main import status_of; status_of(['--help'])", {"click", "fuse_backing"}),
        ("import pytest", "import thinsim.pytest_plugin", set()),
    ],
)
def test_help_and_the_pytest_plugin_load_nothing_heavy(before: str, code: str, light: set[str]) -> None:
    program = f"import sys\n{before}\nknown = set(sys.modules)\n{code}\n"
    program += "print(*set(sys.modules) - known, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in done.stderr.split()}
    assert packages - light - {"thinsim"} <= sys.stdlib_module_names
    assert packages.isdisjoint({"asyncio", "sqlite3", "ssl", "multiprocessing", "http", "json", "tomllib"})


def test_a_file_that_is_no_text_is_one_line(thinsim: Thinsim, tmp_path: Path) -> None:
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe")
    for command in (("run", file), ("scenarios", "check", file)):
        done = thinsim(*command)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{file}:1: not UTF-8 text" in done.stderr


def test_square_brackets_in_names_are_shown_as_they_are(
    thinsim: Thinsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = Path("d[/x]")  # a longer name is folded in doctor's table
    directory.mkdir(parents=True)
    file = tmp_path / "brackets.toml"
    file.write_text(
        'title = "t[/t]"\n[[variant]]\nname = "v[/v]"\n[[phase]]\nname = "p[/p]"\nsteps = [\n'
        '{ do = "prepare", key = "k[/k]" }, { do = "write", key = "k[/k]", size = "1MiB" },\n'
        '{ do = "remove", key = "k[/k]" }, { do = "assert", leaked = { at_least = 1 } },\n]\n'
    )
    done = thinsim("run", file, "--rig", "process", "--dir", directory, "--keep")
    assert done.returncode == 0, done.stderr
    for name in ("t[/t]", "v[/v]", "p[/p]", "k[/k]"):
        assert name in done.stdout
    assert "d[/x]" in done.stderr.replace("\n", "")
    assert "d[/x]" in thinsim("doctor", "--dir", directory).stdout


def test_a_crash_without_effect_is_reported_with_file_and_line(thinsim: Thinsim, tmp_path: Path) -> None:
    step = 'do = "crash", during = "remove", key = "a", when = "before", at = "mkfs"'
    complaint = "crash before mkfs in remove a: there was no mkfs to crash before"
    file = tmp_path / "vain.toml"
    file.write_text(
        f'title = "t"\n[[phase]]\nname = "p"\nsteps = [\n{{ do = "prepare", key = "a" }},\n{{ {step} }},\n]\n'
    )
    done = thinsim("run", file, "--rig", "process", "--dir", tmp_path)
    assert done.returncode == 1
    assert f"thinsim: {file}:6: phase 'p': {complaint}" in done.stderr


@pytest.mark.parametrize("interval", ["nan", "inf"])
def test_an_infinite_interval_of_watch_is_a_wrong_command_line(thinsim: Thinsim, interval: str) -> None:
    done = thinsim("watch", "demo", "--interval", interval)
    assert done.returncode == 2
    assert "Invalid value for '--interval': must be a finite number of seconds" in done.stderr


def test_both_programs_take_the_short_form_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["-h"], ["stats", "-h"], ["faults", "set", "-h"]):
        with pytest.raises(SystemExit) as caught:
            fuse_backing.cli.cli(arguments)
        assert caught.value.code == 0
        assert "-h, --help" in capsys.readouterr().out
        assert status_of(["-h"]) == 0
        assert "-h, --help" in capsys.readouterr().out


def test_a_file_without_a_mistake_is_called_ok_unless_it_should_be_quiet(
    thinsim: Thinsim, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.toml"
    step = '{ do = "remove", key = "gone" }'
    wrong.write_text(f'title = "t"\n[[phase]]\nname = "p"\nsteps = [\n{step},\n]\n')
    place = f"{wrong}:5: phase[1].steps[1].key"
    problem = f"{place}: remove in phase 'p': snapshot 'gone' does not exist; there are: none"
    ok = "churn: ok: 3 phases, 2 variants, 7 steps\n"
    for options, stdout in (([], ok), (["--quiet"], "")):
        done = thinsim("scenarios", "check", "churn", *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, stdout, "")
        both = thinsim("scenarios", "check", "churn", wrong, *options)
        assert (both.returncode, both.stdout, both.stderr) == (1, stdout, f"{problem}\n")
    first, second = json.loads(thinsim("scenarios", "check", "churn", wrong, "--json").stdout)
    assert (first["file"], first["ok"], first["steps"], first["problems"]) == ("churn", True, 7, [])
    assert (second["ok"], second["problems"]) == (False, [problem])


def test_a_variant_that_adds_nothing_is_remarked_and_the_file_is_ok(thinsim: Thinsim, tmp_path: Path) -> None:
    file = tmp_path / "twice.toml"
    file.write_text(
        thinsim("scenarios", "show", "xfs").stdout + "".join(f'[[variant]]\nname = "{n}"\n' for n in "ab")
    )
    done = thinsim("scenarios", "check", file)
    assert (done.returncode, done.stdout) == (0, f"{file}: ok: 3 phases, 2 variants, 5 steps\n")
    assert done.stderr.endswith("variant 'b' has the settings and the steps of variant 'a'\n")

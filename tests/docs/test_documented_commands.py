"""What the documents show is true: every command and option exists, every session runs as it is written."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from documented_commands import PAGES, ROOT, Shown, commands_of

from fuse_backing.cli import cli
from thinsim.cli.main import commands

PROGRAMS: dict[str, click.Command] = {"thinsim": commands, "fuse-backing": cli}
SHOWN = [shown for page in PAGES for shown in commands_of(page)]
SESSIONS = sorted({shown.page for shown in SHOWN if shown.session})

# Commands that are shown without their output: where each is run, with sizes fit for a test.
RUN_BY = {
    "make reproduce": "tests/cli/test_reproduce_command.py",
    "sudo make reproduce": "tests/cli/test_reproduce_command.py",
    "make test": ".ci/run",
}

# Sessions that need what this machine may lack, or much time: what runs them instead.
ELSEWHERE = {
    "thinsim vm run -- dmsetup targets": "tests/vm/test_vm_guests.py",
    "thinsim watch demo --count 1": "docs/reproduce-a-leak.md",
}


def identified(shown: Shown) -> str:
    return f"{shown.page.name}: {shown.text}"[:90]


@pytest.mark.parametrize("shown", [shown for shown in SHOWN if shown.words[0] in PROGRAMS], ids=identified)
def test_a_shown_command_and_its_options_exist(shown: Shown) -> None:
    program, *words = shown.words
    command = PROGRAMS[program]
    context = click.Context(command, info_name=program)
    while isinstance(command, click.Group) and words:
        word = words.pop(0)
        found = command.get_command(context, word)
        assert found is not None, f"{shown.text}: {program} has no command {word}"
        command, context = found, click.Context(found, info_name=word, parent=context)
    known = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    known |= set(context.help_option_names) | {"--"}
    if "--" in words:
        words = words[: words.index("--")]
    for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(words)):
        assert option in known, f"{shown.text}: there is no {option} (there are {sorted(known)})"


@pytest.mark.parametrize(
    "shown", [shown for shown in SHOWN if not shown.session and not shown.is_synopsis], ids=identified
)
def test_a_command_without_its_output_is_run_somewhere(shown: Shown) -> None:
    place = RUN_BY.get(shown.text)
    assert place is not None, f"{shown.page.name} shows {shown.text!r}: say in RUN_BY what runs it"
    assert (ROOT / place).exists()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, str]]:
    runtime = Path(tempfile.mkdtemp(prefix="thinsim-test-", dir="/run"))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "THINSIM_RUNTIME_DIR": str(runtime),
        "THINSIM_STATE_DIR": str(tmp_path / "state"),
        "DM_DISABLE_UDEV": "1",
        "LC_ALL": "C.UTF-8",
    }
    yield environment
    subprocess.run(["thinsim", "dm", "stop", "--force"], check=False, env=environment)
    shutil.rmtree(runtime)


@pytest.mark.rig
@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.name)
def test_a_session_runs_as_it_is_written(page: Path, tmp_path: Path, shell: dict[str, str]) -> None:
    script = ["set -e", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR"]
    for shown in commands_of(page):
        if not shown.session:
            continue
        if shown.text in ELSEWHERE and (ROOT / ELSEWHERE[shown.text]) != page:
            assert (ROOT / ELSEWHERE[shown.text]).exists()
            continue
        script.append(_moved(shown.text, tmp_path))
    if len(script) == 2:
        return
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=work,
        env=shell,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def _moved(text: str, directory: Path) -> str:
    """Return the command with the places that it names below *directory*, on no mount of anybody else's."""
    for place in ("/var/tmp/demo", "/tmp/demo", "/mnt/thin"):
        text = text.replace(place, f"{directory}/{Path(place).name}")
    return text

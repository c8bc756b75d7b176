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
from fuse_backing.mounts import FSTYPE, mounts, unmount
from thinsim.cli.main import commands
from thinsim.loop import attached_devices, detach, devices_of

PROGRAMS: dict[str, click.Command] = {"thinsim": commands, "fuse-backing": cli}
SHOWN = [shown for page in PAGES for shown in commands_of(page)]
SECONDS = 300

# Commands that are shown without their output: what runs them, in sizes fit for a test.
_REPRODUCE = "tests/cli/test_reproduce_command.py"
RUN_BY = {
    ".venv/bin/thinsim doctor --clean": "tests/rig/test_doctor_command.py",
    ".venv/bin/thinsim doctor": "tests/rig/test_doctor_command.py",
    ".venv/bin/thinsim pool create demo --dir /var/tmp/demo --data-size 2G --metadata-size 64M": (
        "docs/reproduce-a-leak.md"
    ),
    ".venv/bin/thinsim reproduce --container-mb 500": _REPRODUCE,
    ".venv/bin/thinsim reproduce --image app.tar": _REPRODUCE,
    ".venv/bin/thinsim reproduce --keep --dir /var/tmp": _REPRODUCE,
    ".venv/bin/thinsim reproduce --rig process": _REPRODUCE,
    ".venv/bin/thinsim reproduce --setting committed --fail-on-leak 0": _REPRODUCE,
    ".venv/bin/thinsim reproduce --setting on --json -": _REPRODUCE,
    ".venv/bin/thinsim reproduce --subject containerd": "tests/scenario/test_containerd_lifecycle.py",
    ".venv/bin/thinsim run busy-device --html report.html": "tests/scenario/test_scenario_library.py",
    'eval "$(.venv/bin/thinsim env)"': "docs/reproduce-a-leak.md",
    "make reproduce": _REPRODUCE,
    "make test": ".ci/run",
    "sudo make reproduce": _REPRODUCE,
    "thinsim baseline save container-exit image-removal my.toml -o thinsim-baseline.json": (
        "tests/regression/test_ci_command.py"
    ),
    "thinsim ci --baseline thinsim-baseline.json --junit j.xml --markdown summary.md --json now.json": (
        "tests/regression/test_ci_command.py"
    ),
    "thinsim conformance record --kernel /var/tmp/k612/boot/vmlinuz-6.12.95+deb12-amd64": "Makefile",
    "thinsim scenarios schema": "tests/cli/test_scenario_commands.py",
}

# What needs a guest, or is shown with another page's pool: what runs it instead.
ELSEWHERE = {
    "thinsim vm run -- dmsetup targets": "tests/vm/test_vm_guests.py",
    "thinsim watch demo --count 1": "docs/reproduce-a-leak.md",
}

# A session with a containerd that is started between two of its commands; the scenario runs the same.
PAGES_ELSEWHERE = {"containerd.md": "tests/scenario/test_containerd_lifecycle.py"}


SESSIONS = sorted(
    {
        shown.page
        for shown in SHOWN
        if shown.session and shown.text not in ELSEWHERE and shown.page.name not in PAGES_ELSEWHERE
    }
)


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
    if "|" in words and shown.session:
        words = words[: words.index("|")]
    for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(words)):
        assert option in known, f"{shown.text}: there is no {option} (there are {sorted(known)})"


@pytest.mark.parametrize(
    "shown", [shown for shown in SHOWN if not shown.session and not shown.is_synopsis], ids=identified
)
def test_a_command_without_its_output_is_run_somewhere(shown: Shown) -> None:
    place = RUN_BY.get(shown.text)
    assert place is not None, f"{shown.page.name} shows {shown.text!r}: say in RUN_BY what runs it"
    assert (ROOT / place).exists()


@pytest.mark.parametrize("place", sorted({*ELSEWHERE.values(), *PAGES_ELSEWHERE.values()}))
def test_what_is_run_elsewhere_is_there(place: str) -> None:
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
    _give_back(tmp_path, environment)
    shutil.rmtree(runtime)


@pytest.mark.rig
@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.name)
def test_a_session_runs_as_it_is_written(page: Path, tmp_path: Path, shell: dict[str, str]) -> None:
    script = ["set -e", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR"]
    for shown in commands_of(page):
        if shown.session:
            script.append(_moved(shown.text, tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=work,
        env=shell,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def _moved(text: str, directory: Path) -> str:
    """Return the command with the places that it names below *directory*, on no mount of anybody else's."""
    for place in ("/var/tmp/demo", "/tmp/demo", "/mnt/thin"):
        text = text.replace(place, f"{directory}/{Path(place).name}")
    return text


def _give_back(directory: Path, environment: dict[str, str]) -> None:
    """End what a session left that failed half-way: what is mounted or attached below *directory* alone."""
    for mount in reversed(mounts()):
        if mount.mountpoint.is_relative_to(directory) and mount.fstype != FSTYPE:
            unmount(mount.mountpoint, lazy=True)
    subprocess.run(["thinsim", "dm", "stop", "--force"], check=False, env=environment)
    for file in attached_devices().values():
        if Path(file).is_relative_to(directory):
            for device in devices_of(Path(file)):
                detach(device)
    for mount in reversed(mounts()):
        if mount.mountpoint.is_relative_to(directory):
            subprocess.run(["fuse-backing", "unmount", mount.mountpoint], check=False, env=environment)

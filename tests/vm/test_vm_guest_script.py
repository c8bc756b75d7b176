"""The script that a guest runs is one that bash understands, even with awkward names in it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from thinsim.vm.guest_script import guest_script

AWKWARD = 'a name\' with $(echo "more")'


def parsed(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def for_this_machine(text: str) -> str:
    """Return the script without the lines that only a guest may run: modules, the scratch disk."""
    only_there = ("modprobe", "udevadm", "mkdir", "for ", "    ", "done", "sync")
    return "\n".join(line for line in text.splitlines() if not line.startswith(only_there))


def test_names_of_any_kind_stay_one_word(tmp_path: Path) -> None:
    text = guest_script(
        tmp_path,
        ["echo", AWKWARD],
        directory=tmp_path / AWKWARD,
        environment={"NAME": AWKWARD},
        shares=[tmp_path / AWKWARD],
        cached=[tmp_path],
    )
    parsed(text)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed (apt-get install bash)")
def test_the_commands_status_is_reported_and_the_command_sees_its_arguments(tmp_path: Path) -> None:
    directory = tmp_path / AWKWARD
    directory.mkdir()
    text = guest_script(
        tmp_path,
        ["bash", "-c", 'printf "%s|" "$PWD" "$NAME" "$1" > seen; exit 7', "bash", AWKWARD],
        directory=directory,
        environment={"NAME": AWKWARD},
    )
    done = subprocess.run(["bash"], input=for_this_machine(text), capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "status").read_text() == "7\n"
    assert (tmp_path / "booted").exists()
    assert (directory / "seen").read_text() == f"{directory}|{AWKWARD}|{AWKWARD}|"


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed (apt-get install bash)")
def test_a_command_that_the_host_interrupts_can_write_what_it_has(tmp_path: Path) -> None:
    command = "trap 'echo measured > result; exit 130' TERM; echo ready; while :; do sleep 0.1; done"
    text = guest_script(tmp_path, ["bash", "-c", command], directory=tmp_path, environment={})
    with subprocess.Popen(
        ["bash", "-c", for_this_machine(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "ready\n"
        (tmp_path / "interrupt").touch()
        assert script.communicate(timeout=60) == ("", "")
    assert (tmp_path / "status").read_text() == "130\n"
    assert (tmp_path / "result").read_text() == "measured\n"

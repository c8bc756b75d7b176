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
    # Drop the lines that only a guest may run (modules, the scratch disk).
    kept = [
        line
        for line in text.splitlines()
        if not line.startswith(("modprobe", "udevadm", "mkdir", "for ", "    ", "done"))
    ]
    subprocess.run(["bash"], input="\n".join(kept), text=True, check=True)
    assert (tmp_path / "status").read_text() == "7\n"
    assert (tmp_path / "booted").exists()
    assert (directory / "seen").read_text() == f"{directory}|{AWKWARD}|{AWKWARD}|"

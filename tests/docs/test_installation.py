"""The documented commands install thinsim from a fresh clone in a fresh environment, as they are written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documented_commands import commands_of
from tests.docs.test_ci_action import RUNS
from tests.repository import REPOSITORY

README, PAGE = REPOSITORY / "README.md", REPOSITORY / "docs" / "howto" / "install.md"
SECONDS = 600


def shown(page: Path, *beginnings: str) -> list[str]:
    """Return the commands of *page* that begin with one of *beginnings*, in order."""
    return [each.text for each in commands_of(page) if each.text.startswith(beginnings)]


def test_each_page_and_the_action_install_the_same_packages() -> None:
    (in_readme,), (on_page,) = (shown(page, "sudo apt-get install") for page in (README, PAGE))
    assert in_readme == on_page
    assert on_page.removeprefix("sudo apt-get install ") in RUNS["Packages"]


def machine() -> dict[str, str]:
    """Return an environment without this clone's own."""
    own = str(Path(sys.executable).parent)
    path = ":".join(each for each in os.environ["PATH"].split(":") if each != own)
    left_out = ("PYTHON", "VIRTUAL_ENV", "PIP_", "MAKE", "MFLAGS")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "PATH": path}


needs_minutes = pytest.mark.skipif(
    not os.environ.get("THINSIM_GUESTS"), reason="asks pip, minutes: make documents-nightly"
)


@needs_minutes
def test_the_wheel_and_the_sdist_can_be_installed() -> None:
    subprocess.run(["make", "-C", REPOSITORY, "check-dist"], check=True, timeout=SECONDS, env=machine())


@needs_minutes
@pytest.mark.parametrize("page", [README, PAGE], ids=["README", "guide"])
def test_the_commands_install_a_thinsim_that_works(page: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
    commands = shown(page, "python3 -m venv", ".venv/bin/pip install .")
    for command in [*commands, ".venv/bin/thinsim run xfs --rig process", ".venv/bin/fuse-backing --version"]:
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=clone,
            env=machine(),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

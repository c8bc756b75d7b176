"""Every command of the documents that boots a guest or takes long runs and prints the shown output."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.document_shell import assert_runs
from tests.docs.document_stages import exempt, stage_of
from tests.docs.documented_commands import PAGES, Shown, commands_of, page_name
from tests.docs.stage_kinds import NEWER, NIGHTLY

SECONDS = 4 * 3600.0


def guests_of(page: Path) -> Iterator[list[Shown]]:
    """Yield the commands to run together: single ones, and all of those that install a kernel and boot it."""
    newer = []
    for shown in commands_of(page):
        left_out = exempt(page_name(page), shown.text)
        if left_out is not None and left_out.why == NEWER:
            newer.append(shown)
        elif left_out is not None and left_out.run_by == NIGHTLY:
            yield [shown]
    if newer:
        yield newer


GUESTS = [shown for page in PAGES for shown in guests_of(page)]


def identified(shown: list[Shown]) -> str:
    return f"{page_name(shown[-1].page)}: {shown[-1].text}"[:90]


@pytest.mark.rig
@pytest.mark.skipif(not os.environ.get("THINSIM_GUESTS"), reason=f"boots guests or takes long: {NIGHTLY}")
@pytest.mark.parametrize("shown", GUESTS, ids=identified)
def test_what_needs_a_guest_runs_as_it_is_shown(shown: list[Shown], image: Path, tmp_path: Path) -> None:
    for package in re.findall(r"apt-cache depends (\S+)", " ".join(each.text for each in shown)):
        if not apt_has(package):
            pytest.skip(f"apt knows no {package} (apt-get update, on Debian 12)")
    # The lines around the page's other commands are not needed here.
    alone = replace(stage_of(page_name(shown[0].page)), prepare="", finish="")
    assert_runs(shown, alone, image, tmp_path, SECONDS)


def apt_has(package: str) -> bool:
    if shutil.which("apt-cache") is None:
        return False
    asked = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False)
    return "Candidate: " in asked.stdout and "Candidate: (none)" not in asked.stdout

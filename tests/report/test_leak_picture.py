"""The README's first picture shows the numbers of a run, and the text beside it names the same number."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.repository import REPOSITORY
from tools.leak_picture import MIB, SCHEMES, Colors, Level, drawn, levels_of

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [str(each.text) for each in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_make_pictures_draws_what_a_run_measured(tmp_path: Path) -> None:
    assert "python tools/leak_picture.py docs/pictures\n" in (REPOSITORY / "Makefile").read_text()
    document = tmp_path / "run.json"
    arguments = ["--rig", "process", "--dir", tmp_path, "--setting", "on", "--json", document]
    subprocess.run(
        [sys.executable, "-m", "thinsim", "reproduce", *arguments],
        check=True,
        capture_output=True,
        timeout=300,
    )
    subprocess.run(
        [sys.executable, "tools/leak_picture.py", tmp_path, "--document", document],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    measured = json.loads(document.read_text())
    (run,) = measured["runs"]
    last = levels_of(run, measured["pool"]["block_bytes"])[-1]
    assert (last.pool, last.leaked) == (0, run["leaked"])
    leaked = f"{round(run['leaked'] / MIB)} MiB"
    for scheme in SCHEMES:
        shown = texts((tmp_path / f"leak-{scheme}.svg").read_text())
        assert shown[0] == f"Everything is removed. The disk still holds {leaked}."
        assert shown[-4:-1] == ["0", leaked, "image removed"]


def test_a_bar_is_as_high_as_its_number() -> None:
    levels = [Level("before", 200 * MIB, 100 * MIB, 0), Level("after", 0, 50 * MIB, 50 * MIB)]
    colors = Colors("ground", "text", "faint", "pool", "disk", "leak")
    heights = {
        each.get("fill"): int(str(each.get("height")))
        for each in ElementTree.fromstring(drawn(levels, colors)).iter(f"{SVG}rect")
        if each.get("width") == "58"
    }
    assert heights["pool"] == 2 * heights["disk"] == 4 * heights["leak"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_text_beside_the_picture_names_its_number(page: str, scheme: str) -> None:
    (number,) = re.findall(
        r"still holds (\d+ MiB)", texts((REPOSITORY / f"docs/pictures/leak-{scheme}.svg").read_text())[0]
    )
    text = (REPOSITORY / page).read_text()
    assert f"containerd keeps {number} of your disk" in text
    assert f"the disk still holds {number}" in text
    assert f"pictures/leak-{scheme}.svg" in text

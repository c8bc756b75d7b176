"""``make pictures`` shows a report in a browser, light and dark; a test runs it on a shorter run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.png_picture import read_picture
from tests.repository import REPOSITORY

TOOL = "tools/report_pictures.py"
NAMES = ("report-light.png", "report-dark.png")


@pytest.mark.browser
def test_make_pictures_gives_a_light_and_a_dark_picture_of_a_report(tmp_path: Path) -> None:
    assert f"python {TOOL} docs/pictures\n" in (REPOSITORY / "Makefile").read_text()
    done = subprocess.run(
        [sys.executable, TOOL, tmp_path, "--rig", "process", "--dir", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    light, dark = (read_picture(tmp_path / name) for name in NAMES)
    assert light.colors > 20
    assert dark.colors > 20
    assert min(light.corner) > 200
    assert max(dark.corner) < 60
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


def test_the_documents_show_pictures_as_large_as_they_are_made_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "tools")
    import report_pictures

    for name in NAMES:
        assert any(f"pictures/{name}" in page.read_text() for page in (REPOSITORY / "docs").rglob("*.md"))
        picture = read_picture(REPOSITORY / "docs" / "pictures" / name)
        assert (picture.width, picture.height) == (report_pictures.WIDTH, report_pictures.HEIGHT)
        assert picture.colors > 20


def test_a_missing_browser_is_reported_before_the_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, TOOL, tmp_path, "--rig", "process", "--dir", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={"PATH": "/nonexistent", "CHROMIUM": "no-such-browser"},
    )
    assert done.returncode == 1
    assert not done.stdout
    assert "no browser: no-such-browser (fix: apt-get install chromium)" in done.stderr

"""The page in a real browser without a network: light, dark, narrow, on paper."""

import base64
import json
import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from thinsim.report.document import Report
from thinsim.report.html.page import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium in PATH (fix: apt-get install chromium)"
)

LIGHT, DARK = "1", "0"
"""Of blink's preferredColorScheme."""

PROBE = """<script>
addEventListener('load', () => {
  const box = e => e.getBoundingClientRect();
  const plots = [...document.querySelectorAll('.plot > svg')];
  const wide = [...document.querySelectorAll('body *')].filter(
    e => !e.closest('.scroll, .plot, pre, svg') && box(e).right > innerWidth + 1);
  const shapes = p => [...p.querySelectorAll('rect, text, polyline, polygon, line')];
  const within = (a, b) => a.left > b.left - 1 && a.right < b.right + 1 && a.top > b.top - 1
    && a.bottom < b.bottom + 1;
  const outside = plots.flatMap(p => shapes(p).filter(e => !within(box(e), box(p))));
  const texts = plots.map(p => [...p.querySelectorAll('text')]);
  const meets = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const overlaps = texts.flatMap(t => t.flatMap((a, i) => t.slice(i + 1)
    .filter(b => meets(box(a), box(b))).map(b => a.textContent + ' / ' + b.textContent)));
  document.title = 'probe ' + btoa(JSON.stringify({
    plots: plots.length, flat: plots.filter(p => box(p).height < 100).length,
    wide: wide.map(e => e.tagName), outside: outside.map(e => e.outerHTML.slice(0, 80)),
    overlaps: overlaps, requests: performance.getEntriesByType('resource').length,
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    page: getComputedStyle(document.body).backgroundColor, text: getComputedStyle(document.body).color,
  }));
});
</script>"""


def browse(directory: Path, *options: str, page: Path) -> str:
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-extensions"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={directory / 'profile'}", *options),
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def probe(report: Report, directory: Path, scheme: str, width: int) -> dict[str, object]:
    page = directory / "probed.html"
    page.write_text(render(report).replace("</body>", f"{PROBE}</body>"))
    dom = browse(
        directory,
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--window-size={width},1200",
        "--dump-dom",
        page=page,
    )
    found = re.search(r"<title>probe ([\w+/=]+)</title>", dom)
    assert found, dom[:300]
    measured: dict[str, object] = json.loads(base64.b64decode(found[1]))
    return measured


def brightness(color: object) -> float:
    red, green, blue = map(int, re.findall(r"\d+", str(color))[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


@needs_browser
@pytest.mark.parametrize(("scheme", "width"), [(LIGHT, 1100), (DARK, 1100), (LIGHT, 600)])
def test_the_page_fits_the_window_in_light_and_dark_and_fetches_nothing(
    image_removal: Report, tmp_path: Path, scheme: str, width: int
) -> None:
    found = probe(image_removal, tmp_path, scheme, width)
    assert found["plots"] == 6
    assert (found["flat"], found["wide"], found["outside"], found["overlaps"]) == (0, [], [], [])
    assert found["requests"] == 0
    assert found["dark"] == (scheme == DARK)
    contrast = brightness(found["text"]) - brightness(found["page"])
    assert contrast > 0.6 if scheme == DARK else contrast < -0.6


@needs_browser
def test_a_screenshot_shows_a_plot_and_paper_has_all_pages(lying_device: Report, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(lying_device))
    picture, paper = tmp_path / "page.png", tmp_path / "page.pdf"
    browse(tmp_path, "--window-size=1000,1600", f"--screenshot={picture}", page=page)
    assert len(colors(picture)) > 20
    browse(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", page=page)
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type ?/Page\b", content)) <= 8


def colors(picture: Path) -> set[bytes]:
    """The distinct pixels of an 8-bit PNG, as its filtered bytes: enough to tell a picture from a blank."""
    data, position, packed = picture.read_bytes(), 8, b""
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        if kind == b"IDAT":
            packed += data[position + 8 : position + 8 + length]
        position += 12 + length
    raw = zlib.decompress(packed)
    return {raw[start : start + 3] for start in range(1, len(raw) - 3, 997)}


class Refers(HTMLParser):
    """What a page would fetch, or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object", "embed"):
            self.found.append(tag)
        self.found += [
            f"{tag} {name}" for name, value in attrs if name in ("src", "href") or name.startswith("on")
        ]


def test_the_page_refers_to_nothing_outside_itself_and_runs_no_script(image_removal: Report) -> None:
    text = render(image_removal)
    refers = Refers()
    refers.feed(text)
    assert refers.found == []
    assert "@import" not in text
    assert "url(" not in text


def test_the_page_says_all_that_the_report_does(image_removal: Report) -> None:
    text = render(image_removal)
    for run in image_removal.runs:
        assert run.name in text
        for leak in run.leaks:
            assert f">{leak.bytes}</td>" in text
            assert leak.owner.reason in text
        for sample in run.samples:
            assert sample.step in text
    assert image_removal.command_line in text
    assert image_removal.environment["kernel"] in text
    assert "[[phase]]" in text


def test_names_are_escaped(image_removal: Report) -> None:
    odd = image_removal.model_copy(update={"title": "</title><script>alert(1)</script>"})
    assert "<script>" not in render(odd)

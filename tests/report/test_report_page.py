"""The page works in a real browser without a network: light, dark, narrow, and on paper."""

import base64
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report.browser import CHROMIUM
from tests.report.png_picture import read_picture
from thinsim.report.document import Report, from_json, to_json
from thinsim.report.html.page import render

LIGHT, DARK = "1", "0"
"""The values of blink's preferredColorScheme."""

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
    unreachable: [...document.querySelectorAll('body *')].filter(
      e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX == 'auto'
        && e.tabIndex < 0).length,
    bar: Math.max(0, ...[...document.querySelectorAll('.bar')].map(e => box(e).width)),
    letters: Math.min(...texts.flat().map(t => box(t).height)),
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


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [(LIGHT, 1100), (DARK, 1100), (LIGHT, 500)])
def test_the_page_fits_the_window_in_light_and_dark_and_fetches_nothing(
    image_removal: Report, tmp_path: Path, scheme: str, width: int
) -> None:
    found = probe(image_removal, tmp_path, scheme, width)
    assert found["plots"] == 6
    assert (found["flat"], found["wide"], found["outside"], found["overlaps"]) == (0, [], [], [])
    assert found["requests"] == 0
    assert found["unreachable"] == 0, "scrolls, and not by the keyboard"
    assert float(str(found["bar"])) >= 80
    assert float(str(found["letters"])) >= 9
    assert found["dark"] == (scheme == DARK)
    contrast = brightness(found["text"]) - brightness(found["page"])
    assert contrast > 0.6 if scheme == DARK else contrast < -0.6


@pytest.mark.browser
def test_a_screenshot_shows_a_plot_and_paper_has_all_pages(lying_device: Report, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(lying_device))
    picture, paper = tmp_path / "page.png", tmp_path / "page.pdf"
    browse(tmp_path, "--window-size=1000,1600", f"--screenshot={picture}", page=page)
    assert read_picture(picture).colors > 20
    browse(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", page=page)
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type ?/Page\b", content)) <= 8


class Refers(HTMLParser):
    """`Refers` collects the addresses that a page would fetch, and its scripts."""

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


def test_the_page_has_all_that_the_report_has(image_removal: Report) -> None:
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


def test_the_page_has_the_date_of_the_run_and_the_meaning_of_the_darkest_shade(image_removal: Report) -> None:
    run = image_removal.runs[1].model_copy(update={"started": 1_000_000_000.0})
    text = render(image_removal.model_copy(update={"runs": [run]}))
    assert "2001-09-09 01:46 UTC, thinsim" in text
    (most,) = re.findall(r"at most (\S+ \w+) in a cell", text)
    assert f" punched, {most} freed</title>" in text


class Scripts(HTMLParser):
    """`Scripts` collects tags that run something, or that the page's own template never has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "b2") or any(name.startswith("on") for name, _ in attrs):
            self.found.append(self.get_starttag_text() or tag)


def test_names_are_escaped_everywhere(image_removal: Report) -> None:
    bad = "'\"></title></svg><b2 onload=x><script>alert(1)</script>&amp;"
    # Every text of the document is replaced, except for a few known words.
    document = json.loads(to_json(image_removal))
    known = {"kind", "operation", "mode"}

    def odd(value: object, name: str = "") -> object:
        if isinstance(value, dict):
            return {key: odd(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [odd(each, name) for each in value]
        return bad + value if isinstance(value, str) and name not in known else value

    parser = Scripts()
    text = render(from_json(json.dumps(odd(document)), "here"))
    parser.feed(text)
    assert parser.found == []
    assert text.count("&lt;script&gt;") > 50

"""The built site is shown in a browser: its start page, its search, and its pages on a phone."""

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.report.browser import CHROMIUM
from tests.repository import REPOSITORY

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium (apt-get install chromium)"),
    pytest.mark.skipif(find_spec("furo") is None, reason="no sphinx and furo (make docs installs them)"),
]
PHONE, DESK = 390, 1400
"""Widths in pixels."""

DOORS = ("I have a leak", "I want a gate in CI", "I compare speed")
GROUPS = ("Tutorials", "How-to guides", "Reference", "Explanation", "Evidence")
ONE_OF_EACH = (
    "index",
    "tutorial/reproduce-a-leak",
    "howto/gate-in-ci",
    "reference/thinsim",
    "explanation/architecture",
    "evidence/fidelity",
)
PAGES = sorted(
    str(path.relative_to(REPOSITORY / "docs").with_suffix(""))
    for path in (REPOSITORY / "docs").rglob("*.md")
    if not path.stem.endswith("-by-hand")
)
_PROBE = """<script>
addEventListener('load', () => {
  const beyond = e => e.getBoundingClientRect().right > innerWidth + 1 && e.getClientRects().length;
  const scrolls = e => e.closest(
    'pre, .table-wrapper, .highlight, svg, .sidebar-drawer, .toc-drawer, .overlay');
  top.document.title = 'probe ' + btoa(unescape(encodeURIComponent(JSON.stringify({
    wide: [...document.querySelectorAll('.content *')].filter(e => beyond(e) && !scrolls(e))
      .map(e => e.tagName + ' ' + e.textContent.trim().slice(0, 60)),
    page: document.documentElement.scrollWidth, window: innerWidth,
    background: getComputedStyle(document.body).backgroundColor,
    pictures: [...document.querySelectorAll('.content img')].map(e => [e.getAttribute('src'), e.naturalWidth,
      getComputedStyle(e).display]),
  }))));
});
</script></body>"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.endswith("?probe"):
            self._send(
                Path(self.translate_path(self.path.removesuffix("?probe")))
                .read_text()
                .replace("</body>", _PROBE)
            )
        elif "?frame=" in self.path:
            page, width = self.path.split("?frame=")
            self._send(f'<body style="margin: 0"><iframe width={width} height=900 src="{page}?probe"></body>')
        else:
            super().do_GET()

    def _send(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the site, serve it on this machine alone, and provide its address."""
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", REPOSITORY / "docs", directory]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def shown(address: str, directory: Path, *, dark: bool = False) -> str:
    """Return the page's document as the browser has it after its scripts have run."""
    assert CHROMIUM is not None
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-extensions"),
        *(
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={directory / 'profile'}",
        ),
        *(f"--window-size={DESK + 20},920", f"--blink-settings=preferredColorScheme={0 if dark else 1}"),
        *("--virtual-time-budget=8000", "--dump-dom"),
    )
    done = subprocess.run(
        [CHROMIUM, *options, address],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "HOME": str(directory)},
    )
    return done.stdout


def probed(site: str, page: str, directory: Path, *, width: int = DESK, dark: bool = False) -> dict[str, Any]:
    # A frame, since a browser without a screen has windows of 500 pixels and more.
    text = shown(f"{site}/{page}.html?frame={width}", directory, dark=dark)
    found = re.search(r"<title>probe (\S+)</title>", text)
    assert found, page
    measured: dict[str, Any] = json.loads(base64.b64decode(found.group(1)))
    return measured


def test_the_start_page_has_the_picture_three_doors_and_a_grouped_sidebar(site: str, tmp_path: Path) -> None:
    page = shown(f"{site}/index.html", tmp_path)
    places = [page.index(f">{words}<") if f">{words}<" in page else page.index(words) for words in DOORS]
    assert places == sorted(places)
    captions = re.findall(r'<span class="caption-text">([^<]+)</span>', page)
    assert captions[: len(GROUPS)] == list(GROUPS)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_picture_fits_the_scheme(site: str, dark: bool, tmp_path: Path) -> None:
    measured = probed(site, "index", tmp_path, dark=dark)
    visible = [source for source, width, display in measured["pictures"] if width and display != "none"]
    assert [Path(source).name for source in visible] == ["leak-dark.svg" if dark else "leak-light.svg"]
    red = int(re.findall(r"\d+", measured["background"])[0])
    assert (red < 64) == dark


@pytest.mark.parametrize("words", ["disk full", "discard_blocks", "exit status"])
def test_the_search_finds_what_people_ask_for(site: str, words: str, tmp_path: Path) -> None:
    page = shown(f"{site}/search.html?q={words.replace(' ', '+')}", tmp_path)
    found = re.findall(r'<li[^>]*>\s*<a href="([^"?#]+)', page[page.index('id="search-results"') :])
    wanted = {"disk full": "howto/clean-up-a-machine", "exit status": "reference/exit-statuses"}
    assert found, page[-500:]
    if words in wanted:
        assert any(wanted[words] in link for link in found[:10]), found


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=() if page in ONE_OF_EACH else pytest.mark.long) for page in PAGES]
)
def test_no_page_is_wider_than_its_window(site: str, page: str, width: int, tmp_path: Path) -> None:
    measured = probed(site, page, tmp_path, width=width)
    assert measured["window"] == width
    assert measured["wide"] == []
    assert measured["page"] <= measured["window"] + 1

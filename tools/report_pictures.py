"""The script makes pictures of the report of a real run in a browser, light and dark.

``make pictures`` makes those in docs; a test makes them in another directory from a shorter run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RUN = (
    *("run", "image-and-container"),
    *("--variant", "discard_blocks=true", "--variant", "true + discard_committed"),
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCHEMES = {"light": 1, "dark": 0}
"""The values of blink's preferredColorScheme."""

WIDTH, HEIGHT = 1100, 2200
"""The size in pixels, which shows the page from the title to the leaks of the first variant."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="directory for report-light.png and report-dark.png")
    arguments, more = parser.parse_known_args()  # the other arguments are for thinsim run
    command = browser()
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch, "report.html")
        subprocess.run([sys.executable, "-m", "thinsim", *RUN, *more, "--html", page], check=True)
        for scheme in SCHEMES:
            picture(
                command, page, scheme, arguments.directory.resolve() / f"report-{scheme}.png", Path(scratch)
            )


def picture(command: str, page: Path, scheme: str, to: Path, scratch: Path) -> None:
    """Let the browser *command* draw *page* into *to*, without a network."""
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-extensions"),
        *("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"),
        f"--user-data-dir={scratch / 'profile'}",
        f"--window-size={WIDTH},{HEIGHT}",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
        f"--screenshot={to}",
    )
    to.unlink(missing_ok=True)
    done = subprocess.run([command, *options, page.as_uri()], capture_output=True, text=True, check=False)
    if not to.is_file():
        sys.exit(f"{command} wrote no picture to {to}: {done.stderr.strip()}")
    print(to)


def browser() -> str:
    """Return the browser: CHROMIUM in the environment, or one in PATH."""
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else BROWSERS
    found = next(filter(None, map(shutil.which, names)), None)
    return found or sys.exit(f"no browser: {', '.join(names)} (fix: apt-get install chromium)")


if __name__ == "__main__":
    main()

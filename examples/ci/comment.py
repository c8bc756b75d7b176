"""The script writes one comment on a pull request; a later run replaces the text of the same comment.

The environment has the text's file (MARKDOWN), the name of the comment (NAME), a token (TOKEN), and the
variables that a runner of GitHub Actions sets. A token of a fork may not write; the script then prints a
notice and succeeds, because the summary of the job has the same text.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MOST = 65536
"""GitHub refuses a longer text of a comment, in characters."""
SECONDS = 30
NOT_ALLOWED = (401, 403, 404)
"""GitHub hides what a token may not see behind status 404."""


def main() -> int:
    """Write the comment; return the exit status."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text())
    number = event.get("pull_request", {}).get("number")
    if number is None:
        print("The event is of no pull request, so there is nothing to comment on.")
        return 0
    marker = f"<!-- thinsim: {os.environ['NAME'].replace('--', '- -')} -->"
    body = shortened(f"{marker}\n{Path(os.environ['MARKDOWN']).read_text()}")
    try:
        print(f"{write(number, marker, body)} the comment on pull request {number}.")
    except urllib.error.HTTPError as error:
        if error.code in NOT_ALLOWED:
            why = f"the token may not write it (status {error.code})"
            print(f"::notice title=thinsim::no comment on the pull request: {why}; the summary has the text")
            return 0
        print(f"::warning title=thinsim::no comment on the pull request: {error}")
    except OSError as error:
        print(f"::warning title=thinsim::no comment on the pull request: {error}")
    return 0


def write(number: int, marker: str, body: str) -> str:
    """Replace the comment that begins with *marker*, or add it; return what was done."""
    comments = f"repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    old = find(f"{comments}/{number}/comments", marker)
    if old is not None:
        try:
            ask("PATCH", f"{comments}/comments/{old}", {"body": body})
            return "Updated"
        except urllib.error.HTTPError as error:
            if error.code not in NOT_ALLOWED:
                raise
            # Somebody else has written a comment with the marker.
    ask("POST", f"{comments}/{number}/comments", {"body": body})
    return "Added"


def find(path: str, marker: str) -> int | None:
    """Return the id of the newest comment that begins with *marker*."""
    found = None
    page = 1
    while comments := ask("GET", f"{path}?per_page=100&page={page}"):
        for comment in comments:
            if (comment["body"] or "").startswith(marker):
                found = int(comment["id"])
        page += 1
    return found


def ask(method: str, path: str, value: object = None) -> Any:
    """Send a request to GitHub and return its answer. HTTPError if GitHub refuses it."""
    request = urllib.request.Request(
        f"{os.environ['GITHUB_API_URL']}/{path}",
        method=method,
        data=None if value is None else json.dumps(value).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['TOKEN']}",
            "Content-Type": "application/json",
            "User-Agent": "thinsim",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


def shortened(text: str) -> str:
    """Return *text*, cut at a line so that GitHub accepts it."""
    if len(text) <= MOST:
        return text
    rest = "\n\nThe summary of the job has the rest."
    return text[: text.rindex("\n", 0, MOST - len(rest))] + rest


if __name__ == "__main__":
    sys.exit(main())

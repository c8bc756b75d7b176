"""A `CommentsServer` answers as GitHub's API does about the comments of pull requests.

The real API cannot be reached from a test. The requests and answers follow GitHub's REST reference: list,
create and update an issue comment.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlparse

_COMMENTS = re.compile(r"/repos/([\w-]+/[\w-]+)/issues/(\d+)/comments")
_COMMENT = re.compile(r"/repos/([\w-]+/[\w-]+)/issues/comments/(\d+)")


class CommentsServer(ThreadingHTTPServer):
    """A `CommentsServer` keeps the *comments* of every pull request by their ids.

    *read_only* refuses writes, as for the token of a fork. *others* are the ids of comments that belong to
    somebody else, which a token may not change.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.comments: dict[int, str] = {}
        self.others: set[int] = set()
        self.read_only = False
        self.tokens: set[str] = set()

    @property
    def address(self) -> str:
        """Return the URL of the API."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: CommentsServer

    def do_GET(self) -> None:
        self._note_token()
        url = urlparse(self.path)
        query = parse_qs(url.query)
        count, page = int(query["per_page"][0]), int(query["page"][0])
        listed = [{"id": number, "body": body} for number, body in sorted(self.server.comments.items())]
        found = _COMMENTS.fullmatch(url.path) is not None
        self._answer(200 if found else 404, listed[(page - 1) * count : page * count])

    def do_POST(self) -> None:
        found = _COMMENTS.fullmatch(self.path)
        self._write(None if found is None else max(self.server.comments, default=0) + 1, 201)

    def do_PATCH(self) -> None:
        found = _COMMENT.fullmatch(self.path)
        self._write(None if found is None else int(found[2]), 200)

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""

    def _write(self, number: int | None, status: int) -> None:
        self._note_token()
        value = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if number is None:
            self._answer(404, {"message": "Not Found"})
        elif self.server.read_only or number in self.server.others:
            self._answer(403, {"message": "Resource not accessible by integration"})
        elif len(value["body"]) > 65536:
            self._answer(422, {"message": "Validation Failed"})
        else:
            self.server.comments[number] = value["body"]
            self._answer(status, {"id": number, **value})

    def _note_token(self) -> None:
        self.server.tokens.add(self.headers["Authorization"])

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def comments_server() -> Iterator[CommentsServer]:
    """Yield a running server and end it."""
    server = CommentsServer()
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""`filled` makes an evidence page: hand-written text, with generated parts in the places that name them.

The text of page NAME.md is NAME-by-hand.md. A line ``<!-- generated: PART -->`` is the place of a part. The
measurements are in docs/evidence/data, each with the command, the day and the kernel that made it.
"""

import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

EVIDENCE = Path(__file__).resolve().parent.parent / "docs" / "evidence"
DATA = EVIDENCE / "data"
_PLACE = re.compile(r"^<!-- generated: (.+?) -->$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Measured:
    """A `Measured` is a measurement that is kept: *document* is what *command* wrote as JSON.

    A published table whose figures were not kept has *head* and *rows* instead, and *note* explains that.
    """

    command: str
    day: str
    kernel: str
    note: str = ""
    document: Any = None
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the measurement that is kept in the file *path*."""
        return cls(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        """Keep the measurement in the file *path*, with the items of a list one per line."""
        known = {key: value for key, value in asdict(self).items() if value}
        lines = [f'"{key}": {_by_lines(value)}' for key, value in known.items()]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")

    def origin(self) -> str:
        """Return a sentence with the command, the day and the kernel."""
        if self.command.startswith("thinsim"):
            made = f"The command above made these figures on {self.day}, on {self.kernel}."
        else:
            made = f"`{self.command}` made these figures on {self.day}, on {self.kernel}."
        return f"{made} {self.note}".strip()


def measured_now(command: str, document: Any) -> Measured:
    """Return what *command* wrote today on this machine."""
    kernel = f"{platform.system()} {platform.release()}"
    return Measured(command, f"{datetime.now(UTC):%Y-%m-%d}", kernel, document=document)


def filled(name: str, parts: Mapping[str, str]) -> str:
    """Return the text of page *name*; ValueError if a place or a part has no counterpart."""
    text = (EVIDENCE / f"{name}-by-hand.md").read_text()
    places = _PLACE.findall(text)
    if sorted(places) != sorted(parts):
        raise ValueError(f"{name}-by-hand.md has places for {sorted(places)}, the parts are {sorted(parts)}")
    return _PLACE.sub(lambda place: parts[place[1]], text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])


def _by_lines(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)

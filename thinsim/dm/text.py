"""`parse_lines` and `joined` read and print a table's text as dmsetup does (lvm2, tools/dmsetup.c)."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass

from thinsim.errors import DeviceMapperError
from thinsim.thin.words import parse_number


@dataclass(frozen=True, slots=True)
class TableLine:
    """A `TableLine` is a line of a table or status: sectors, target type, arguments or status as one text."""

    start: int
    length: int
    kind: str
    arguments: str

    @property
    def text(self) -> str:
        """Return the line as dmsetup prints it."""
        return f"{self.start} {self.length} {self.kind} {self.arguments}"


def parse_lines(text: str) -> list[TableLine]:
    """Parse a table's text (_parse_line); blank lines and comments are skipped. EINVAL for a bad line."""
    lines = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        words = stripped.split(None, 3)
        start, length = (parse_number(word) for word in [*words, "", ""][:2])
        if len(words) < 3 or start is None or length is None:
            raise DeviceMapperError(errno.EINVAL, f"Incomplete table line: {stripped!r}")
        lines.append(TableLine(start, length, words[2], words[3] if len(words) > 3 else ""))
    return lines


def joined(lines: Iterable[TableLine]) -> str:
    """Return *lines* as ``dmsetup table`` and ``status`` print them, without a final newline."""
    return "\n".join(line.text for line in lines)

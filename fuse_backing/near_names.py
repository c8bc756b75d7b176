"""`did_you_mean` returns the known name that is nearest to a wrong one, as the end of a message."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'X'?`` with the nearest word of *known*, or nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def or_list(names: Iterable[str], most: int = 10) -> str:
    """Return ``; there are: A, B`` with at most *most* names, then their number."""
    listed = sorted(names)
    if not listed:
        return "; there are none"
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return f"; there are: {', '.join(map(repr, listed[:most]))}{more}"

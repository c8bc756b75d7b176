"""`did_you_mean` returns the nearest known name; `unknown_name` returns the message about an unknown one."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` with the nearest word of *known*, or nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message that the *kind* called *name* does not exist, with the nearest name or with all."""
    names = list(dict.fromkeys(known))
    between = "; " if any("," in each for each in names) else ", "
    valid = did_you_mean(name, names) or f"; there are: {between.join(names) or 'none'}"
    return f"{kind} {name!r} does not exist{valid}"

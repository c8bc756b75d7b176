"""`proper` and `broken` generate filters for property tests: valid ones and invalid ones."""

import string

from hypothesis import strategies as st

from thinsim.snapshotter.filters.selectors import Operator, Selector

WORDS = ("a", "b", "io.b/c", "näme", "x y", 'q"', "back\\slash", "", "a.b", "tab\t", "7", "no/yes")
LABELS = {"a": "1", "a.b": "x y", "io.b/c": "ä", 'q"': "", "näme": "a", "": "empty"}
PATTERNS = ("", "a", "^a", "a$", "[ab]+", "(?i)NAME", "x.y", r"\d", "(", "a{1,2}", "^$", "ä|é")

simple = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=6)
fields = st.sampled_from(("name", "kind", "parent", "labels", "size")) | simple
paths = st.lists(fields | st.sampled_from(WORDS), min_size=1, max_size=3).map(tuple)
values = st.sampled_from((*WORDS, "active", "committed", "view")) | st.text(max_size=5)
selectors = st.builds(
    Selector, paths, st.sampled_from((Operator.EQUAL, Operator.NOT_EQUAL)), values
) | st.builds(Selector, paths)
matching = st.builds(Selector, paths, st.just(Operator.MATCHES), st.sampled_from(PATTERNS))


def written(selector: Selector) -> str:
    """Write *selector* as a filter, with quotes around the words that need them and some others."""
    path = ".".join(quoted(part) for part in selector.path)
    return (
        path
        if selector.operator is Operator.PRESENT
        else f"{path}{selector.operator}{quoted(selector.value)}"
    )


def quoted(word: str) -> str:
    """Return *word* in double quotes, as Go's strconv.Quote does, or without quotes if it is all letters."""
    if word and all(character in string.ascii_letters for character in word):
        return word
    return '"' + "".join(_escaped(character) for character in word) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    code = ord(character)
    if code < 32 or character == "\ufffd":
        return f"\\u{code:04x}"
    return character


proper = st.lists(selectors | matching, min_size=1, max_size=3).map(
    lambda found: ",".join(map(written, found))
)
_PIECES = (
    *("name", "labels", "kind", "a", "==", "!=", "~=", "=", "~", "!", ",", ".", " ", '"', "/", "|", "'"),
    *("\\", "\\x", "41", "\\u00e4", "\\U0010ffff", "\\U00110000", "\\400", "\\101", "\\n", "\\g", "\n", "\0"),
    *("ä", "é-x", "\u2003", "\u200b", "\x1f", "?", "0", "active"),
)
broken = st.lists(st.sampled_from(_PIECES), max_size=9).map("".join)
texts = proper | broken

"""A sentence has a subject and a verb: this module finds both without a grammar, by lists of words."""

import re
from pathlib import Path


def _listed(name: str) -> frozenset[str]:
    return frozenset(Path(__file__).with_name(name).read_text().split())


_VERBS = _listed("verbs.txt")
_ALWAYS = frozenset(
    [
        "is",
        "are",
        "was",
        "were",
        "has",
        "have",
        "had",
        "can",
        "cannot",
        "could",
        "must",
        "may",
        "might",
        "will",
        "would",
        "does",
        "do",
        "did",
        "be",
        "been",
        "am",
        "became",
        "began",
        "broke",
        "brought",
        "built",
        "came",
        "chose",
        "found",
        "gave",
        "got",
        "grew",
        "held",
        "kept",
        "knew",
        "led",
        "left",
        "lost",
        "made",
        "met",
        "ran",
        "read",
        "saw",
        "sent",
        "took",
        "went",
        "wrote",
        "needs",
    ]
)
"""Forms of verbs that are no nouns."""

_RELATIVES = re.compile(r"\b(that|which|who|whose|whom)\b", re.IGNORECASE)


def _third_persons(verb: str) -> tuple[str, ...]:
    if verb.endswith("y") and verb[-2] not in "aeou":
        return (verb[:-1] + "ies",)
    return (verb + "s", verb + "es")


_THIRD_PERSON = frozenset(form for verb in _VERBS for form in _third_persons(verb)) | {
    "has",
    "does",
    "is",
    "goes",
}
_PLURAL = _VERBS - _listed("nouns_too.txt")


def _words(sentence: str) -> list[str]:
    return re.findall(r"[A-Za-z][A-Za-z'_.-]*|`[^`]*`|\*[^*]*\*", sentence)


def lacks_subject_or_verb(sentence: str) -> str:
    """Return the reason why *sentence* is none, or an empty string.

    A relative pronoun takes one verb for its clause, so "A pool that maps blocks." lacks its own.
    """
    words = _words(sentence)
    if not words:
        return "empty"
    first = words[0].lower()
    if first in _THIRD_PERSON:
        return "no subject: begin with the thing, not with the verb"
    verbs = sum(word.lower().strip(".'") in _ALWAYS | _THIRD_PERSON | _PLURAL for word in words[1:])
    if verbs <= len(_RELATIVES.findall(" ".join(words[1:]))):
        return "no verb: write a whole sentence"
    return ""


def begins_with_a_verb(sentence: str) -> bool:
    """Return whether *sentence* is an order, as PEP 257 asks of a function: Return the size."""
    words = _words(sentence)
    return bool(words) and words[0].lower() in _VERBS

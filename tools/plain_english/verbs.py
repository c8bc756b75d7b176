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

_AFTER_NOUNS = frozenset(["of", "that", "which", "with", "in", "on", "from", "are", "have", "can", "must"])
"""These words follow a plural noun that looks like a verb, as in "Tests of other projects"."""

_RELATIVES = re.compile(r"\b((?<!so )that|which|who|whose|whom)\b", re.IGNORECASE)


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
    if first in _THIRD_PERSON and not (len(words) > 1 and words[1] in _AFTER_NOUNS):
        return "no subject: begin with the thing, not with the verb"
    forms = [word.lower().strip(".'") for word in words[1:]]
    verbs = sum(form in _ALWAYS | _THIRD_PERSON | _PLURAL for form in forms)
    past = sum(form.endswith("ed") for form in forms)
    if not verbs or verbs + past <= len(_RELATIVES.findall(" ".join(words[1:]))):
        return "no verb: write a whole sentence"
    return ""


def begins_with_a_verb(sentence: str) -> bool:
    """Return whether *sentence* is an order, as PEP 257 asks of a function: Return the size."""
    words = _words(sentence)
    return bool(words) and words[0].lower() in _VERBS

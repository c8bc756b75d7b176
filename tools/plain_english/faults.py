"""A `WordFault` is a turn of phrase that CONTRIBUTING.md rules out, with the word to use instead."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_UNITS = (
    r"bytes?|B|KiB|MiB|GiB|sectors?|blocks?|pages?|µs|us|ms|seconds?|s|minutes?|hours?|times|lines?|rows?|words?|"
    r"files|folders?|entries|requests|commands?|call|processes|threads?|figures?|numbers|columns?|"
    r"docstrings?|sentences?|fragments?|events|snapshots|layers?|points|bits?|nodes?"
)


@dataclass(frozen=True, slots=True)
class WordFault:
    """A `WordFault` matches a passage by *pattern*; *advice* names the plain form."""

    pattern: re.Pattern[str]
    advice: str


def _fault(pattern: str, advice: str) -> WordFault:
    return WordFault(re.compile(pattern, re.IGNORECASE), advice)


FAULTS = (
    _fault(r"\b(tells?|told|telling)\b", "write print, report, show or distinguish"),
    _fault(r"\b(says?|said|saying)\b", "write print, report, state or name"),
    _fault(r"\b(stands?|stood|standing)\b(?! in for)(?!-in)(?!ard)", "write run, exist or be"),
    _fault(r"\bmend(s|ed|ing)?\b", "write fix or repair"),
    _fault(
        r"\b(gives?|gave|given|giving)\b(?:[^\w.;:]+[\w'’-]+){0,6}?[^\w.;:]+back\b",
        "write release, free or return",
    ),
    _fault(r"\bthere (is|are|was|were) not\b", "write there is no X, or X does not exist"),
    _fault(
        r"\b(that|nothing|whatever|what) there (is|are|was|were)\b", "write which exists, or name the thing"
    ),
    _fault(rf"(?<!^)\b({_UNITS}) an? [a-z][\w-]*\b(?<! a few)(?<! a time)(?<! a half)", "write per"),
    _fault(r", (too|also)\b", "move also before the verb, or leave it out"),
    _fault(r"\b(too|also)[.;:)](?!\w)", "move also before the verb, or leave it out"),
    _fault(
        r"(?:^|(?<=[.;:!?)] ))(what|whatever|whoever|whosoever|whose|whether|how|which|who)\b(?! to\b)[^?]*$",
        "begin with a noun, not a clause",
    ),
    _fault(r"(?:^|(?<=[.;:!?)] ))where\b(?! to\b)[^,?]*$", "begin with a noun, not a clause"),
    _fault(
        r"^(of|than|nor|beside|as|also)\b(?! (soon|long|root|far|a|an)\b)(?=(?:\W+\w+){2})[^,]*$",
        "write a whole sentence",
    ),
    _fault(r"^See [^ ]+\.$", "leave the docstring out: the Protocol has it"),
    _fault(r"\banew\b", "write again"),
    _fault(r"\bupon\b", "write on"),
    _fault(r"\bthe like\b", "write similar, or name the thing"),
    _fault(r"\bin the midst of\b", "write during"),
    _fault(r"\bone's own\b", "write your own"),
    _fault(r"\bfor ever\b", "write forever"),
    _fault(
        r"\bof (thinsim|containerd|ext4|dm-thin|trio)'s(?=[.,;:)]|$| (that|is|are|has|and|or|in|on|reads)\b)",
        "write a thinsim command, not a command of thinsim's",
    ),
    _fault(
        r"(?<!test )\b(the|a|this|each|whole|same) bench\b(?! command)", "write thinsim, the run or the pool"
    ),
    _fault(r"\bput to\b", "write sent to, or run on"),
)
"""Each turn of phrase that no text of the project uses."""

_CODE = re.compile(r"``[^`]*``|`[^`]*`|:\w+:`[^`]*`|\"[^\"]*\"|<[^>]*>")


def faults_in(passage: str) -> Iterator[tuple[str, str]]:
    """Yield the words at fault and the advice for each fault of *passage*, one sentence after the other.

    Code and quotations do not count: other people's words are theirs.
    """
    text = " ".join(_CODE.sub("`x`", passage).split())
    for sentence in re.split(r"(?<=[.?!]) (?=[A-Z`*\d])", text):
        for fault in FAULTS:
            if found := fault.pattern.search(sentence):
                yield found.group()[:60], fault.advice

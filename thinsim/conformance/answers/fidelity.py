"""Writes docs/evidence/fidelity.md from verdicts. Pure text."""

from collections import Counter
from collections.abc import Sequence

from thinsim.conformance.answers.compare import Behaviour
from thinsim.conformance.answers.verdict import HistoryVerdict

_SUBJECTS = {
    "engine": "the engine in process",
    "emulated": "the emulated device-mapper, through dmsetup and its loop devices",
}


def fidelity_page(verdicts: Sequence[HistoryVerdict], by_hand: str, requests: str = "") -> str:
    """Return the page: what was compared, how often, what differed and why.

    The tables of *requests* come next, then *by_hand*, both as they are.
    """
    parts = [
        "# What equals the kernel's dm-thin, and what does not",
        "Made by `make fidelity`; what is kept by hand (`docs/evidence/fidelity-by-hand.md`) comes last.",
        _ran(verdicts),
        _table(verdicts),
        _differences(verdicts),
        _traits(verdicts),
        requests,
        by_hand.strip(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _ran(verdicts: Sequence[HistoryVerdict]) -> str:
    lines = [
        "The same histories were put to a kernel's dm-thin in a guest and to thinsim's, and every answer was "
        "compared (`thinsim conformance`). A cell tells how often a behaviour was compared, and how often it "
        "was not equal.",
        "",
        "| | kernel | thinsim | histories | operations | comparisons | not equal | of these unexplained |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for letter, verdict in zip(_letters(verdicts), verdicts, strict=True):
        lines.append(
            f"| {letter} | {verdict.kernel} | {_SUBJECTS.get(verdict.subject, verdict.subject)} | "
            f"{verdict.histories} | {verdict.operations} | {verdict.compared.total()} | "
            f"{len(verdict.differences)} | {len(verdict.unexplained)} |"
        )
    return "\n".join(lines)


def _table(verdicts: Sequence[HistoryVerdict]) -> str:
    lines = [
        f"| behaviour | equal? | {' | '.join(_letters(verdicts))} |",
        f"|---|---|{'---|' * len(verdicts)}",
    ]
    for behaviour in Behaviour:
        cells = [_cell(verdict, behaviour) for verdict in verdicts]
        if any(verdict.compared[behaviour] for verdict in verdicts):
            differ = any(verdict.unequal(behaviour) for verdict in verdicts)
            lines.append(
                f"| {behaviour} | {'**no**, see below' if differ else 'yes'} | {' | '.join(cells)} |"
            )
    return "\n".join(lines)


def _cell(verdict: HistoryVerdict, behaviour: Behaviour) -> str:
    compared, unequal = verdict.compared[behaviour], verdict.unequal(behaviour)
    if not compared:
        return "–"
    return f"{compared}, {unequal} not" if unequal else str(compared)


def _differences(verdicts: Sequence[HistoryVerdict]) -> str:
    counts: Counter[tuple[str, str, str]] = Counter()
    for letter, verdict in zip(_letters(verdicts), verdicts, strict=True):
        for difference in verdict.differences:
            counts[letter, difference.comparison.behaviour, difference.why or "**unexplained**"] += 1
    if not counts:
        return "Nothing differed."
    lines = ["| | behaviour | times | why |", "|---|---|---|---|"]
    lines += [f"| {letter} | {name} | {count} | {why} |" for (letter, name, why), count in counts.items()]
    return "## What differed\n\n" + "\n".join(lines)


def _traits(verdicts: Sequence[HistoryVerdict]) -> str:
    most = max(verdicts, key=lambda verdict: verdict.operations)
    lines = ["| histories with | operations |", "|---|---|"]
    lines += [f"| {trait} | {count} |" for trait, count in sorted(most.traits.items())]
    return "## What the histories were\n\n" + "\n".join(lines)


def _letters(verdicts: Sequence[HistoryVerdict]) -> list[str]:
    return [chr(ord("A") + number) for number in range(len(verdicts))]

"""`fidelity_page` makes the text of docs/evidence/fidelity.md from verdicts; `write_fidelity` writes it."""

import json
import platform
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from thinsim.conformance.answers.compare import AnswerComparison, Behaviour
from thinsim.conformance.answers.verdict import Difference, HistoryVerdict

_SUBJECTS = {
    "engine": "The engine runs in the process, without a device.",
    "emulated": "The emulated device-mapper answers through dmsetup and its loop devices.",
}


@dataclass(frozen=True, slots=True)
class FidelityRun:
    """A `FidelityRun` holds the verdicts of one ``conformance check``, its day and the kernel it ran on."""

    day: str
    machine: str
    verdicts: Sequence[HistoryVerdict]


def write_fidelity(page: Path, verdicts: Sequence[HistoryVerdict], requests: str) -> None:
    """Write *page* from *verdicts*, and their counts to ``data/NAME.json`` beside it.

    The tables of *requests* come next, then the text of ``NAME-by-hand.md`` beside *page*.
    """
    machine = f"{platform.system()} {platform.release()}"
    run = FidelityRun(f"{datetime.now(UTC):%Y-%m-%d}", machine, verdicts)
    data = page.parent / "data" / f"{page.stem}.json"
    data.parent.mkdir(exist_ok=True)
    data.write_text(run_to_json(run))
    by_hand = page.with_name(f"{page.stem}-by-hand.md").read_text()
    page.write_text(fidelity_page(run, by_hand, requests))


def run_to_json(run: FidelityRun) -> str:
    """Return *run* as JSON, one difference per line; the answers themselves are left out."""
    verdicts = [
        {
            "kernel": verdict.kernel,
            "subject": str(verdict.subject),
            "histories": verdict.histories,
            "operations": verdict.operations,
            "compared": {behaviour.name.lower(): count for behaviour, count in verdict.compared.items()},
            "traits": dict(verdict.traits),
            "differences": [
                [each.history, each.comparison.index, each.comparison.behaviour.name.lower(), each.why]
                for each in verdict.differences
            ],
        }
        for verdict in run.verdicts
    ]
    text = json.dumps({"day": run.day, "machine": run.machine, "verdicts": verdicts}, indent=1)
    return f"{text}\n"


def run_from_json(text: str) -> FidelityRun:
    """Return the run that `run_to_json` wrote; its differences lack the answers."""
    document = json.loads(text)
    return FidelityRun(
        document["day"],
        document["machine"],
        [
            HistoryVerdict(
                each["kernel"],
                each["subject"],
                each["histories"],
                each["operations"],
                Counter({Behaviour[name.upper()]: count for name, count in each["compared"].items()}),
                Counter(each["traits"]),
                [
                    Difference(
                        history, None, AnswerComparison(Behaviour[behaviour.upper()], index, "", ""), why
                    )
                    for history, index, behaviour, why in each["differences"]
                ],
            )
            for each in document["verdicts"]
        ],
    )


def fidelity_page(run: FidelityRun, by_hand: str, requests: str = "") -> str:
    """Return the page: the counts of comparisons and differences, and the reason of each difference.

    The tables of *requests* come next, then *by_hand*, both as they are.
    """
    verdicts = run.verdicts
    parts = [
        "# Fidelity to the kernel's dm-thin",
        _begin(run),
        _ran(verdicts),
        _table(verdicts),
        _differences(verdicts),
        _traits(verdicts),
        requests,
        by_hand.strip(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _begin(run: FidelityRun) -> str:
    compared = sum(verdict.compared.total() for verdict in run.verdicts)
    differences = [each for verdict in run.verdicts for each in verdict.differences]
    unexplained = sum(not each.why for each in differences)
    known = (
        "and each of these has a known reason, which this page names"
        if not unexplained
        else f"and {unexplained:,} of these are **unexplained**"
    )
    return _wrapped(
        "This page shows how thinsim's dm-thin compares with the kernel's. Both received the same histories "
        f"of operations, and `thinsim conformance` compared every answer: of {compared:,} comparisons "
        f"{len(differences):,} were not equal, {known}.\n\n"
        f"`make fidelity` made this page on {run.day}, on {run.machine}, from the recorded answers of "
        "kernels in guests (`make conformance-record` records them again). The last part, from "
        "[Checked by other tests](#checked-by-other-tests) on, is written by hand in "
        "`docs/evidence/fidelity-by-hand.md`."
    )


def _ran(verdicts: Sequence[HistoryVerdict]) -> str:
    lines = [
        "| | kernel | thinsim | histories | operations | comparisons | not equal | unexplained |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for letter, verdict in zip(_letters(verdicts), verdicts, strict=True):
        lines.append(
            f"| {letter} | {verdict.kernel} | {verdict.subject} | "
            f"{verdict.histories} | {verdict.operations} | {verdict.compared.total()} | "
            f"{len(verdict.differences)} | {len(verdict.unexplained)} |"
        )
    subjects = dict.fromkeys(verdict.subject for verdict in verdicts)
    known = " ".join(_SUBJECTS[subject] for subject in subjects if subject in _SUBJECTS)
    return "\n".join([*lines, "", _wrapped(known)])


def _table(verdicts: Sequence[HistoryVerdict]) -> str:
    lines = [
        _wrapped(
            "Each cell below is the number of comparisons, and the number of those that were not equal. The "
            "letters are the rows of the table above."
        ),
        "",
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
    """Return one row for each reason of each verdict, with the behaviours that differed and how often."""
    reasons: dict[tuple[str, str], Counter[str]] = {}
    for letter, verdict in zip(_letters(verdicts), verdicts, strict=True):
        for difference in verdict.differences:
            reason = difference.why or "**unexplained**"
            reasons.setdefault((letter, reason), Counter())[difference.comparison.behaviour] += 1
    if not reasons:
        return "Nothing differed."
    lines = ["| | reason | times | behaviour |", "|---|---|---|---|"]
    for (letter, reason), counts in reasons.items():
        behaviours = "; ".join(f"{_brief(name)} ({count})" for name, count in counts.items())
        lines.append(f"| {letter} | {reason} | {counts.total()} | {behaviours} |")
    return "## Differences and their reasons\n\n" + "\n".join(lines)


def _brief(behaviour: str) -> str:
    """Return the name of a behaviour without its aspects, except those of a pool's status."""
    return behaviour if behaviour.startswith("pool status") else behaviour.partition(": ")[0]


def _traits(verdicts: Sequence[HistoryVerdict]) -> str:
    most = max(verdicts, key=lambda verdict: verdict.operations)
    letter = _letters(verdicts)[list(verdicts).index(most)]
    lines = [
        "## The histories",
        "",
        f"The number of operations of {letter}, by the properties of their histories. A history may have "
        "several.",
        "",
        "| property of the history | operations |",
        "|---|---|",
    ]
    lines += [f"| {trait} | {count} |" for trait, count in sorted(most.traits.items())]
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return "\n\n".join(
        textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


def _letters(verdicts: Sequence[HistoryVerdict]) -> list[str]:
    return [chr(ord("A") + number) for number in range(len(verdicts))]

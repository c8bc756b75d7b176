"""`fidelity_page` makes the text of docs/evidence/fidelity.md from verdicts; `write_fidelity` writes it."""

import json
import platform
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from thinsim.conformance.answers.compare import AnswerComparison, Behaviour
from thinsim.conformance.answers.verdict import Difference, HistoryVerdict

_SUBJECTS = {
    "engine": "*engine*: thinsim's pool engine runs in the process, without a device.",
    "emulated": "*emulated*: thinsim's device-mapper answers through dmsetup and its device nodes, which are "
    "loop devices.",
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
        "# Fidelity to the kernel",
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
        "each for a known reason, which [this page names](#differences-and-their-reasons)"
        if not unexplained
        else f"{unexplained:,} of them **unexplained**"
    )
    return _wrapped(
        "This page shows how thinsim's dm-thin compares with the kernel's. It is for people who want to know "
        "how far they can trust a run without the kernel's device-mapper. Both implementations received the "
        "same operations, in sequences called histories, and `thinsim conformance` compared every answer. Of "
        f"{compared:,} comparisons {len(differences):,} were not equal, {known}.\n\n"
        "[Compare with the kernel](../howto/compare-with-the-kernel.md) shows how to repeat this. "
        f"`make fidelity` made this page on {run.day}, on {run.machine}, from the recorded answers of "
        "kernels in guests; `make conformance-record` records them again. The last part, from "
        "[Checked by other tests](#checked-by-other-tests) on, is written by hand in "
        "`docs/evidence/fidelity-by-hand.md`."
    )


def _ran(verdicts: Sequence[HistoryVerdict]) -> str:
    lines = [
        "| | kernel | thinsim | histories | operations | comparisons | not equal |",
        "|---|---|---|---|---|---|---|",
    ]
    for letter, verdict in zip(_letters(verdicts), verdicts, strict=True):
        lines.append(
            f"| {letter} | {_release(verdict.kernel)} | {verdict.subject} | {verdict.histories} | "
            f"{verdict.operations:,} | {verdict.compared.total():,} | {len(verdict.differences)} |"
        )
    subjects = dict.fromkeys(verdict.subject for verdict in verdicts)
    notes = [_SUBJECTS[subject] for subject in subjects if subject in _SUBJECTS]
    kernels = dict.fromkeys(verdict.kernel for verdict in verdicts)
    notes.append(f"The kernels in full: {'; '.join(kernels)}.")
    return "\n".join([*lines, "", _wrapped(" ".join(notes))])


def _release(kernel: str) -> str:
    """Return the name of *kernel* with its first two numbers only: Linux 6.1."""
    found = re.match(r"Linux \d+\.\d+", kernel)
    return found[0] if found else kernel


def _table(verdicts: Sequence[HistoryVerdict]) -> str:
    lines = [
        _wrapped(
            "The next table counts the comparisons by behaviour. Its columns are the rows of the table "
            "above. A bold number counts the comparisons that were not equal."
        ),
        "",
        f"| behaviour | {' | '.join(_letters(verdicts))} |",
        f"|---|{'---|' * len(verdicts)}",
    ]
    for behaviour in Behaviour:
        cells = [_cell(verdict, behaviour) for verdict in verdicts]
        if any(verdict.compared[behaviour] for verdict in verdicts):
            lines.append(f"| {behaviour} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(verdict: HistoryVerdict, behaviour: Behaviour) -> str:
    compared, unequal = verdict.compared[behaviour], verdict.unequal(behaviour)
    if not compared:
        return "–"
    return f"**{unequal}** of {compared:,}" if unequal else f"{compared:,}"


def _differences(verdicts: Sequence[HistoryVerdict]) -> str:
    """Return one row for each reason, with its count in each verdict and for each behaviour that differed."""
    reasons: dict[str, tuple[Counter[str], Counter[str]]] = {}
    for letter, verdict in zip(_letters(verdicts), verdicts, strict=True):
        for difference in verdict.differences:
            reason = difference.why or "**unexplained**"
            letters, behaviours = reasons.setdefault(reason, (Counter(), Counter()))
            letters[letter] += 1
            behaviours[_brief(difference.comparison.behaviour)] += 1
    title = "## Differences and their reasons"
    if not reasons:
        return f"{title}\n\nNothing differed."
    lines = [
        _wrapped(
            "The middle column has the number of differences in each column of the table above, and the last "
            "column has their number by behaviour. Where a reason is code of the kernel, it names the file."
        ),
        "",
        "| reason | differences | behaviour |",
        "|---|---|---|",
    ]
    for reason, (letters, behaviours) in reasons.items():
        where = ", ".join(f"{letter}: {count}" for letter, count in letters.items())
        which = "; ".join(f"{name} ({count})" for name, count in behaviours.items())
        lines.append(f"| {reason} | {where} | {which} |")
    return f"{title}\n\n" + "\n".join(lines)


def _brief(behaviour: str) -> str:
    """Return the name of a behaviour without its aspects, except those of a pool's status."""
    return behaviour if behaviour.startswith("pool status") else behaviour.partition(": ")[0]


def _traits(verdicts: Sequence[HistoryVerdict]) -> str:
    most = max(verdicts, key=lambda verdict: verdict.operations)
    letter = _letters(verdicts)[list(verdicts).index(most)]
    lines = [
        "## The histories",
        "",
        _wrapped(
            f"This table counts the operations of {letter} by the properties of their histories. A history "
            "can have several properties. A *directed* history is written for one case."
        ),
        "",
        "| property of the history | operations |",
        "|---|---|",
    ]
    lines += [f"| {trait} | {count:,} |" for trait, count in sorted(most.traits.items(), key=_by_number)]
    return "\n".join(lines)


def _by_number(trait: tuple[str, int]) -> tuple[str, int]:
    """Return a sort key that places 128 before 1024."""
    numbers = re.findall(r"\d+", trait[0])
    return re.sub(r"\d+", "", trait[0]), int(numbers[0]) if numbers else 0


def _wrapped(text: str) -> str:
    return "\n\n".join(
        textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


def _letters(verdicts: Sequence[HistoryVerdict]) -> list[str]:
    return [chr(ord("A") + number) for number in range(len(verdicts))]

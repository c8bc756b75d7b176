"""`request_tables` makes the tables of requests and programs of the fidelity page.

They show a kernel's answers and mark those that thinsim does not give. Pure.
"""

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from thinsim.conformance.answers.answer import WAITS, Recording
from thinsim.conformance.answers.verdict import HistoryVerdict
from thinsim.conformance.histories.history import BlockRequest, Program, QueueLimits
from thinsim.conformance.histories.request_histories import PHASES, RANGES, SECTOR_RANGE, UNUSUAL_RANGES
from thinsim.conformance.requests.kinds import KINDS

_NAMES = {where: name for name, where in RANGES.items()}


@dataclass(frozen=True, slots=True)
class _Asked:
    """An `_Asked` is one request with the kernel's answer to it."""

    kind: str
    device: str
    logical: int
    range: str
    status: int
    equal: bool


def request_tables(kernels: Sequence[Sequence[Recording]], verdicts: Sequence[HistoryVerdict]) -> str:
    """Return the tables of the answers of the last of *kernels* with requests; "" if no kernel has any.

    They also list the different answers of the other kernels. *verdicts* on the same recordings mark the
    answers that thinsim does not give.
    """
    unequal = {
        (verdict.kernel, each.history, each.comparison.index)
        for verdict in verdicts
        for each in verdict.differences
    }
    found = [
        (recordings, [each for recording in recordings for each in _requests(recording, unequal)])
        for recordings in kernels
    ]
    found = [(recordings, asked) for recordings, asked in found if asked]
    if not found:
        return ""
    recordings, asked = found[-1]
    parts = [
        "## Every request of the block layer",
        f"The tables show the answers of {recordings[0].source}. `ok` means that the request succeeded and "
        "the data is right. A bold cell marks an answer that thinsim's emulated device does not give. Each "
        "request was sent to part of a data block, to one whole block, to two blocks and parts of their "
        "neighbours, and up to the end of the device, at logical blocks of 512 and of 4096 bytes. The "
        "whole device was read after each request.",
    ]
    devices = list(dict.fromkeys(each.device for each in asked))
    thin = [device for device in devices if device in _thin_phases()]
    others = [device for device in devices if device not in thin]
    parts += ["A thin device with mapped blocks:", _by_request(asked, thin[0])]
    if thin[1:]:
        parts += ["Requests that concern space, on thin devices in other states:", _merged(asked, thin[1:])]
    parts += ["Other devices and targets:", _merged(asked, others)]
    parts.append(
        "Mapped blocks of a thin device, with ranges that are not whole logical blocks or that pass the "
        "end of the device:"
    )
    parts.append(_by_range(asked))
    parts.append("The queue limits of the devices (`yes` means a value other than 0):")
    parts.append(_limits(recordings))
    parts += [_other_answers(recordings[0].source, asked, *other) for other in found[:-1]]
    programs = next((each for each, _ in reversed(found) if any(map(_has_programs, each))), ())
    parts.append(_programs(programs, unequal))
    return "\n\n".join(part for part in parts if part)


def _has_programs(recording: Recording) -> bool:
    return any(isinstance(operation, Program) for operation in recording.history.operations)


def _other_answers(
    source: str, asked: Sequence[_Asked], other: Sequence[Recording], theirs: Sequence[_Asked]
) -> str:
    """Return the requests that another kernel answers differently; one row has all ranges of an answer."""
    answers = {(each.kind, each.device, each.logical, each.range): each.status for each in theirs}
    ranges: dict[tuple[str, str, str, str], list[str]] = {}
    for each in asked:
        status = answers.get((each.kind, each.device, each.logical, each.range), each.status)
        if status != each.status:
            row = ranges.setdefault((each.kind, each.device, _word(each.status), _word(status)), [])
            if each.range not in row:
                row.append(each.range)
    rows = {
        f"{kind} | {device} | {_in_brief(found)}": [one, another]
        for (kind, device, one, another), found in ranges.items()
    }
    if not rows:
        return f"{other[0].source} gave the same answers."
    head = f"{other[0].source} gave the same answers, except these:"
    columns = ["request | device | range", source, other[0].source]
    return f"{head}\n\n" + _table(columns, rows)


def _in_brief(ranges: Sequence[str]) -> str:
    """Return the names of *ranges*, or of the others where these are fewer."""
    others = [name for name in RANGES if name not in ranges]
    if len(others) >= len(ranges):
        return "; ".join(ranges)
    return f"all except: {'; '.join(others)}" if others else "all"


def _thin_phases() -> set[str]:
    return {phase for name, phases in PHASES.items() if name != "other-targets" for phase in phases}


def _base(recording: Recording) -> str:
    return recording.history.name.removeprefix("requests-").rpartition("-")[0]


def _phases(recording: Recording) -> Iterator[str]:
    """Yield the phase of each operation; a phase begins with the limits that precede its requests."""
    names = PHASES.get(_base(recording), ())
    operations = recording.history.operations
    number, asked = -1, True
    for operation in operations:
        if isinstance(operation, QueueLimits) and asked:
            asked = False
            number += 1
        elif isinstance(operation, QueueLimits):
            asked = False
        elif isinstance(operation, BlockRequest):
            asked = True
        yield names[min(max(number, 0), len(names) - 1)] if names else ""


def _requests(recording: Recording, unequal: set[tuple[str, str, int]]) -> Iterator[_Asked]:
    history = recording.history
    if _base(recording) not in PHASES:
        return
    steps = zip(history.operations, recording.answers, _phases(recording), strict=True)
    for index, (operation, answer, phase) in enumerate(steps):
        if isinstance(operation, BlockRequest):
            found = _NAMES[operation.offset, operation.length]
            places = {(recording.source, history.name, each) for each in (index, index + 1)}
            equal = not places & unequal
            yield _Asked(operation.kind, phase, history.logical_block, found, answer.status, equal)


def _said(asked: Sequence[_Asked]) -> str:
    """Return a cell: the answers, most frequent first."""
    if not asked:
        return ""
    counts: dict[str, int] = {}
    for each in asked:
        counts[_word(each.status)] = counts.get(_word(each.status), 0) + 1
    text = ", ".join(sorted(counts, key=lambda word: -counts[word]))
    return text if all(each.equal for each in asked) else f"**{text}**"


def _word(status: int) -> str:
    if status == WAITS:
        return "waits"
    return "ok" if status == 0 else errno.errorcode.get(status, str(status)).replace("ENOTSUP", "EOPNOTSUPP")


def _cells(asked: Sequence[_Asked], kind: str, devices: Sequence[str]) -> list[str]:
    """Return the answers of each device to *kind*, of ranges on the device that are whole logical blocks."""
    usual = [each for each in asked if each.range not in UNUSUAL_RANGES and each.range != SECTOR_RANGE]
    return [
        _said([each for each in usual if each.kind == kind and each.device == device]) for device in devices
    ]


def _merged(asked: Sequence[_Asked], devices: Sequence[str]) -> str:
    """Return a table with one row for all devices, and one column for all requests, that answer the same."""
    kinds = {kind: cells for kind in KINDS if any(cells := _cells(asked, kind, devices))}
    columns: dict[tuple[str, ...], list[str]] = {}
    for kind, cells in kinds.items():
        columns.setdefault(tuple(cells), []).append(kind)
    rows: dict[tuple[str, ...], list[str]] = {}
    for device, answers in zip(devices, zip(*columns, strict=True), strict=True):
        rows.setdefault(answers, []).append(device)
    head = ["device", *(", ".join(kinds) for kinds in columns.values())]
    return _table(head, {"; ".join(names): answers for answers, names in rows.items()})


def _by_request(asked: Sequence[_Asked], device: str) -> str:
    """Return a table with one row for each request to *device*."""
    rows = {}
    for kind, about in KINDS.items():
        cells = _cells(asked, kind, [device])
        if any(cells):
            rows[f"{kind} | {about.becomes}"] = cells
    return _table(["request | in the block layer", "answer"], rows)


def _by_range(asked: Sequence[_Asked]) -> str:
    mapped = [each for each in asked if each.device == PHASES["mapped"][0]]
    columns: list[tuple[str, str, tuple[int, ...]]] = [
        (f"{SECTOR_RANGE}, logical block {logical}", SECTOR_RANGE, (logical,)) for logical in (512, 4096)
    ]
    columns += [(name, name, (512, 4096)) for name in UNUSUAL_RANGES]
    rows = {
        kind: [
            _said([e for e in mapped if e.kind == kind and e.range == name and e.logical in logicals])
            for _, name, logicals in columns
        ]
        for kind in KINDS
    }
    return _table(["request", *(title for title, _, _ in columns)], rows)


def _limits(recordings: Sequence[Recording]) -> str:
    rows: dict[str, list[str]] = {}
    for recording in recordings:
        steps = zip(recording.history.operations, recording.answers, _phases(recording), strict=True)
        for operation, answer, phase in steps:
            if isinstance(operation, QueueLimits) and phase:
                limits = dict(each.rsplit(" ", 1) for each in answer.text.replace("not 0", "yes").split(", "))
                key = f"{phase} | {recording.history.logical_block}"
                rows.setdefault(key, [limits.get(name, "") for name in _LIMITS])
    return _table(["device | logical block below", *_LIMITS], rows)


_LIMITS = ("logical_block_size", "discard_granularity", "discard_max_bytes", "write_zeroes_max_bytes", "fua")


def _programs(recordings: Sequence[Recording], unequal: set[tuple[str, str, int]]) -> str:
    rows: dict[str, list[str]] = {}
    for recording in recordings:
        for index, (operation, answer) in enumerate(
            zip(recording.history.operations, recording.answers, strict=True)
        ):
            if isinstance(operation, Program):
                equal = "**no**" if (recording.source, recording.history.name, index) in unequal else "yes"
                key = f"{operation.name} | {recording.history.logical_block}"
                rows[key] = [answer.text, equal]
    if not rows:
        return ""
    head = (
        "Programs on a thin device that is full of old data (`old`). Each program checks its own data "
        "afterwards:"
    )
    return f"{head}\n\n" + _table(["program | logical block", "result", "equal?"], rows)


def _table(head: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    columns = " | ".join(head).count(" | ") + 1
    lines = [
        f"| {' | '.join(head)} |",
        *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()),
    ]
    # A name may have a bar of its own; those of the table have blanks beside them.
    lines = [re.sub(r"(?<! )\|(?! )", r"\\|", f" {line} ").strip() for line in lines]
    return "\n".join([lines[0], f"|{'---|' * columns}", *lines[1:]])

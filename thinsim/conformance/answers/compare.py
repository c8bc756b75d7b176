"""`compare_recordings` compares two recordings of a history, answer by answer and behaviour by behaviour."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from thinsim.conformance.answers.answer import Answer, Ending, Recording
from thinsim.conformance.histories.history import (
    BlockRequest,
    Discard,
    Dmsetup,
    Flush,
    Grow,
    HistoryOperation,
    Look,
    Program,
    QueueLimits,
    Read,
    Write,
)

_NUMBER = re.compile(r"\(\d+:\d+\)")  # of a removed device, which has no name any more

ERRNO_TEXT = "errno "
"""The text of an answer begins with this word if no dmsetup has put the errno into words."""


class Behaviour(StrEnum):
    """A `Behaviour` is one kind of comparison, in the words of the fidelity table."""

    MESSAGE = "messages to the pool: exit status and text"
    COMMAND = "create, load, suspend, resume, remove, info: exit status and text"
    WRITE = "writes: success or errno"
    READ = "reads: errno and content"
    DISCARD = "discards: success or errno"
    FLUSH = "flushes: errno"
    REQUEST = "other requests of the block layer: errno, and the content read afterwards"
    LIMITS = "queue limits of a device: smallest request, discards, requests for zeros"
    PROGRAM = "programs that discard and zero: exit status and their own check of the data"
    TRANSACTION = "pool status: transaction id"
    USED_METADATA = "pool status: used and total metadata blocks"
    USED_DATA = "pool status: used and total data blocks"
    HELD = "pool status: held root"
    MODE = "pool status: mode (rw, ro, out_of_data_space, Fail)"
    POOL_WORDS = "pool status: discard and no-space words, needs_check, low water mark"
    MAPPED = "thin device status: mapped sectors and highest mapped sector"
    OTHER = "status of other targets, and the list of devices"
    PASSED_DOWN = "discards at the data loop device: requests and bytes"
    CONTENTS = "content of whole thin devices"
    TABLES = "live tables"
    INFO = "attributes, number of targets, event numbers"
    HOST = "allocation on the host, page by page"
    CHECK = "thin_check at the end"
    DUMP = "thin_dump at the end: every device, mapping and time"


@dataclass(frozen=True, slots=True)
class AnswerComparison:
    """An `AnswerComparison` compares one behaviour of operation *index*; the ending is one past the last."""

    behaviour: Behaviour
    index: int
    expected: str
    found: str

    @property
    def equal(self) -> bool:
        """Return whether both answers are the same."""
        return self.expected == self.found


def compare_recordings(expected: Recording, found: Recording) -> Iterator[AnswerComparison]:
    """Yield each comparison of two recordings of one history. *expected* is the kernel's."""
    one_by_one = map(_each_for_itself, (expected.answers, found.answers))
    operations = expected.history.operations
    # A file system takes a different number of blocks in each run.
    counts = not any(isinstance(operation, Program) for operation in operations)
    for index, (operation, one, other) in enumerate(zip(operations, *one_by_one, strict=True)):
        for behaviour, left, right in _of_answer(operation, one, other):
            yield AnswerComparison(behaviour, index, left, right)
        for behaviour, left, right in _of_state(one, other) if counts else ():
            yield AnswerComparison(behaviour, index, left, right)
    if expected.ending is not None and found.ending is not None:
        for behaviour, left, right in _of_ending(expected.ending, found.ending):
            yield AnswerComparison(behaviour, len(expected.answers), left, right)


def _each_for_itself(answers: Sequence[Answer]) -> Iterator[Answer]:
    """Yield the answers with the discards since the previous one, so that each difference counts once."""
    requests = size = 0
    for answer in answers:
        if answer.discards is None:
            yield answer
            continue
        yield replace(answer, discards=(answer.discards[0] - requests, answer.discards[1] - size))
        requests, size = answer.discards


def _of_state(one: Answer, other: Answer) -> Iterator[tuple[Behaviour, str, str]]:
    yield from _of_devices(one.devices, other.devices)
    if one.discards is not None and other.discards is not None:
        yield Behaviour.PASSED_DOWN, str(one.discards), str(other.discards)
    if one.seen is not None and other.seen is not None:
        yield Behaviour.CONTENTS, str(one.seen.contents), str(other.seen.contents)
        for name in one.seen.tables.keys() & other.seen.tables.keys():
            yield Behaviour.TABLES, one.seen.tables[name].strip(), other.seen.tables[name].strip()
        yield Behaviour.INFO, str(one.seen.infos), str(other.seen.infos)
        yield Behaviour.HOST, one.seen.host, other.seen.host


def _of_answer(
    operation: HistoryOperation, one: Answer, other: Answer
) -> Iterator[tuple[Behaviour, str, str]]:
    match operation:
        case Dmsetup(words):
            behaviour = Behaviour.MESSAGE if words[:1] == ("message",) else Behaviour.COMMAND
            left, right = (_NUMBER.sub("(N:N)", text) for text in (one.text, other.text))
            if ERRNO_TEXT in (left[: len(ERRNO_TEXT)], right[: len(ERRNO_TEXT)]):
                left, right = errno_of(left), errno_of(right)
            yield behaviour, f"{one.status} {left}".strip(), f"{other.status} {right}".strip()
        case Write():
            yield Behaviour.WRITE, str(one.status), str(other.status)
        case Read():
            yield Behaviour.READ, f"{one.status} {one.text}", f"{other.status} {other.text}"
        case Discard():
            yield Behaviour.DISCARD, str(one.status), str(other.status)
        case Flush():
            yield Behaviour.FLUSH, str(one.status), str(other.status)
        case BlockRequest():
            yield Behaviour.REQUEST, f"{one.status} {one.text}", f"{other.status} {other.text}"
        case QueueLimits():
            yield Behaviour.LIMITS, one.text, other.text
        case Program():
            yield Behaviour.PROGRAM, f"{one.status} {one.text}", f"{other.status} {other.text}"
        case Grow() | Look():
            return


def _of_devices(one: dict[str, str], other: dict[str, str]) -> Iterator[tuple[Behaviour, str, str]]:
    if one.keys() != other.keys():
        yield Behaviour.OTHER, str(sorted(one)), str(sorted(other))
        return
    for name, line in one.items():
        for behaviour, left, right in zip(*_fields_of_both(line, other[name]), strict=True):
            yield behaviour, f"{name}: {left}", f"{name}: {right}"


def _fields_of_both(one: str, other: str) -> tuple[list[Behaviour], list[str], list[str]]:
    left, right = _fields(one), _fields(other)
    if left.keys() == right.keys():
        return list(left), list(left.values()), list(right.values())
    return [Behaviour.MODE], [one], [other]


def _fields(line: str) -> dict[Behaviour, str]:
    """Split a status line by behaviour, without the held root: its block differs from run to run."""
    words = line.split()
    if words[2:3] == ["thin-pool"] and len(words) > 11:
        return {
            Behaviour.TRANSACTION: words[3],
            Behaviour.USED_METADATA: words[4],
            Behaviour.USED_DATA: " ".join((words[0], words[1], words[5])),
            Behaviour.HELD: "no" if words[6] == "-" else "yes",
            Behaviour.MODE: words[7],
            Behaviour.POOL_WORDS: " ".join(words[8:]),
        }
    if words[2:3] == ["thin-pool"]:
        return {Behaviour.MODE: line.strip()}
    if words[2:3] == ["thin"]:
        return {Behaviour.MAPPED: line.strip()}
    return {Behaviour.OTHER: line.strip()}


def _of_ending(one: Ending, other: Ending) -> Iterator[tuple[Behaviour, str, str]]:
    yield Behaviour.CHECK, str(one.check), str(other.check)
    yield Behaviour.DUMP, one.dump, other.dump


def errno_of(text: str) -> str:
    """Return ``errno N`` for the errno that dmsetup's *text* spells out, or an empty string."""
    if text.startswith(ERRNO_TEXT):
        return text
    found = re.search(r" failed: (.+)$", text, re.MULTILINE)
    if found is None:
        return ""
    return ERRNO_TEXT + str(_ERRNOS.get(found[1], found[1]))


_ERRNOS = {os.strerror(number): number for number in range(1, 134)}

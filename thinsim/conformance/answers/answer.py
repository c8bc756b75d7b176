"""Says what a device-mapper answered to a history, in words that do not depend on the machine."""

from dataclasses import asdict, dataclass, field
from typing import Any

from thinsim.conformance.histories.history import History, history_from_json, history_to_json
from thinsim.errors import InvalidValueError

HELD = -1
"""Status of a request that was not sent: a suspended device would have held it for ever."""

WAITS = -2
"""Status of a request that was sent and had not come back after some seconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a :class:`~thinsim.conformance.histories.history.Look` found; names are those of the history.

    *contents*: a hash of the whole of each thin device, or ``errno N``. *host*: the allocated pages of
    the data file, as ``first-last`` in 4 KiB.
    """

    contents: dict[str, str]
    tables: dict[str, str]
    infos: dict[str, str]
    host: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one operation, and what the devices looked like after it.

    *status*: exit status of dmsetup, errno of a request (0: done), ``HELD`` or ``WAITS``. *text*: what
    dmsetup said, or a hash of what was read. *devices*: the status line of each device-mapper device.
    *discards*: requests and bytes that the data's loop device has discarded since the beginning.
    """

    status: int
    text: str = ""
    devices: dict[str, str] = field(default_factory=dict)
    discards: tuple[int, int] | None = None
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """After the last operation everything is removed: what the metadata tools say then."""

    check: int
    dump: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A history with one answer for each of its operations. *source*: which dm-thin answered."""

    history: History
    source: str
    answers: tuple[Answer, ...]
    ending: Ending | None


def recording_to_json(recording: Recording) -> dict[str, Any]:
    """Return the recording as a JSON object; status lines that did not change are left out."""
    answers = []
    before: dict[str, str] = {}
    for answer in recording.answers:
        entry: dict[str, Any] = {"status": answer.status}
        if answer.text:
            entry["text"] = answer.text
        changed: dict[str, str | None] = {
            name: line for name, line in answer.devices.items() if before.get(name) != line
        }
        changed.update({name: None for name in before if name not in answer.devices})
        if changed:
            entry["devices"] = changed
        if answer.discards is not None:
            entry["discards"] = list(answer.discards)
        if answer.seen is not None:
            entry["seen"] = asdict(answer.seen)
        before = answer.devices
        answers.append(entry)
    ending = None if recording.ending is None else asdict(recording.ending)
    return {
        "history": history_to_json(recording.history),
        "source": recording.source,
        "answers": answers,
        "ending": ending,
    }


def recording_from_json(entry: dict[str, Any]) -> Recording:
    """Read what :func:`recording_to_json` wrote; InvalidValueError for anything else."""
    try:
        history = history_from_json(entry["history"])
        devices: dict[str, str] = {}
        answers = []
        for line in entry["answers"]:
            devices = {**devices, **line.get("devices", {})}
            devices = {name: text for name, text in devices.items() if text is not None}
            seen = Seen(**line["seen"]) if "seen" in line else None
            discards = (line["discards"][0], line["discards"][1]) if "discards" in line else None
            answers.append(Answer(int(line["status"]), line.get("text", ""), devices, discards, seen))
        ending = None if entry["ending"] is None else Ending(**entry["ending"])
        if len(answers) != len(history.operations):
            raise InvalidValueError(f"{history.name}: {len(answers)} answers to {len(history.operations)}")
        return Recording(history, str(entry["source"]), tuple(answers), ending)
    except (KeyError, TypeError, IndexError) as error:
        raise InvalidValueError(f"no recording of a history: {error!r}") from None

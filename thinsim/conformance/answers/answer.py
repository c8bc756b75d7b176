"""A `Recording` keeps the answers of a device-mapper to a history, independent of the machine."""

from dataclasses import asdict, dataclass, field
from typing import Any

from thinsim.conformance.histories.history import History, history_from_json, history_to_json
from thinsim.errors import InvalidValueError

HELD = -1
"""The status of a request that was not sent: a suspended device would have held it forever."""

WAITS = -2
"""The status of a request that had not completed some seconds after it was sent."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A `Seen` is the result of a :class:`~thinsim.conformance.histories.history.Look`, by names of devices.

    *contents*: a hash of the whole content of each thin device, or ``errno N``. *host*: the allocated pages
    of the data file, 4 KiB each, as ``first-last``.
    """

    contents: dict[str, str]
    tables: dict[str, str]
    infos: dict[str, str]
    host: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An `Answer` records the answer to one operation, and the state of the devices after it.

    *status*: exit status of dmsetup, errno of a request (0: success), ``HELD`` or ``WAITS``. *text*: the
    output of dmsetup, or a hash of the data that was read. *devices*: the status line of each device-mapper
    device. *discards*: the discard requests and bytes of the data's loop device since the beginning.
    """

    status: int
    text: str = ""
    devices: dict[str, str] = field(default_factory=dict)
    discards: tuple[int, int] | None = None
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """An `Ending` has the results of thin_check and thin_dump after the removal of all devices."""

    check: int
    dump: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A `Recording` is a history with one answer per operation; *source* names the dm-thin that answered."""

    history: History
    source: str
    answers: tuple[Answer, ...]
    ending: Ending | None


def recording_to_json(recording: Recording) -> dict[str, Any]:
    """Return the recording as a JSON object, without the status lines that did not change."""
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
    """Read an object that :func:`recording_to_json` returned; InvalidValueError for any other."""
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
            raise InvalidValueError(
                f"{history.name}: {len(answers)} answers to {len(history.operations)} operations"
            )
        return Recording(history, str(entry["source"]), tuple(answers), ending)
    except (KeyError, TypeError, IndexError) as error:
        raise InvalidValueError(f"not a recording of a history: {error!r}") from None

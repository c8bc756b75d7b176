"""`campaign` returns the histories that thinsim runs on every kernel, and whose answers it keeps.

It has random histories with every set of features, some with faults, some with requests for zeros. It has
directed histories, among them those with every request of the block layer. And it has the histories in
``kept``: two from before the generator existed, and the shortest ones on which the two dm-thins once
differed.
"""

import json
from pathlib import Path

from thinsim.conformance.histories.directed_histories import directed_histories
from thinsim.conformance.histories.history import History, history_from_json, history_to_json
from thinsim.conformance.histories.random_histories import COMBINATIONS, random_history
from thinsim.conformance.histories.request_histories import request_histories
from thinsim.errors import InvalidValueError

KEPT = Path(__file__).parent / "kept"
_SEEDS = range(2 * len(COMBINATIONS))
_FAULTY_SEEDS = range(2 * len(COMBINATIONS), 2 * len(COMBINATIONS) + 8)
_REQUEST_SEEDS = range(_FAULTY_SEEDS.stop, _FAULTY_SEEDS.stop + 6)
_OPERATIONS = 130


def campaign() -> list[History]:
    """Return all histories of the campaign."""
    return [
        *(random_history(seed, _OPERATIONS) for seed in _SEEDS),
        *(random_history(seed, _OPERATIONS, faults=True) for seed in _FAULTY_SEEDS),
        *(random_history(seed, _OPERATIONS, requests=True) for seed in _REQUEST_SEEDS),
        *directed_histories(),
        *request_histories(),
        *(read_history(path) for path in sorted(KEPT.glob("*.json"))),
    ]


def read_history(path: Path) -> History:
    """Read a history; InvalidValueError names its fault. Raises ``OSError`` for an unreadable file."""
    try:
        return history_from_json(json.loads(path.read_text()))
    except (ValueError, InvalidValueError) as error:
        raise InvalidValueError(f"{path}: {error}") from None


def write_history(path: Path, history: History) -> None:
    """Write a history, one line per operation."""
    entry = history_to_json(history)
    operations = ",\n  ".join(json.dumps(operation) for operation in entry.pop("operations"))
    head = json.dumps(entry)[:-1]
    path.write_text(f'{head}, "operations": [\n  {operations}\n]}}\n')

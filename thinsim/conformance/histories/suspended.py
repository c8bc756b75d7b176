"""`Suspended` tracks the suspended devices of a history, and the operations that would wait forever.

thinsim does not send these operations. They are requests, and every command that makes a pool commit while a
device below it is suspended. A commit flushes the data device first (dm-thin.c,
metadata_pre_commit_callback), and holds the lock that every later command needs. A thin device also waits for
its suspended pool before it is suspended or resumed (dm.c, dm_suspend).
"""

from collections.abc import Mapping

from thinsim.conformance.histories.history import (
    BlockRequest,
    Discard,
    Dmsetup,
    Flush,
    HistoryOperation,
    Program,
    Read,
    Write,
)

_ABOVE = ("thin", "thin-pool")


class Suspended:
    """`Suspended` knows the suspended devices from the commands that succeeded."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._below: set[str] = set()
        self._pools: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def below_first(self) -> list[str]:
        """Return the suspended devices, in the order in which they can be resumed."""
        order = {**dict.fromkeys(self._pools, 1), **dict.fromkeys(self._below, 0)}
        return sorted(self._names, key=lambda name: (order.get(name, 2), name))

    @property
    def pools_may_commit(self) -> bool:
        """Return False while a device is suspended that may be below a pool: status must not commit then."""
        return not self._below

    def note(self, words: tuple[str, ...], devices: Mapping[str, str]) -> None:
        """Record a dmsetup command that succeeded; *devices* are the status lines before it, by name."""
        names = {word.strip("{}") for word in words[1:]}
        if words[0] == "suspend":
            kinds = {name: devices[name].split()[2] for name in names & devices.keys()}
            self._names |= names
            self._below |= {name for name, kind in kinds.items() if kind not in _ABOVE}
            self._pools |= {name for name, kind in kinds.items() if kind == "thin-pool"}
        elif words[0] in ("resume", "remove"):
            self._names -= names
            self._below -= names
            self._pools -= names

    def holds(self, operation: HistoryOperation) -> bool:
        """Return whether *operation* would wait for a suspended device."""
        match operation:
            case Write() | Read() | Discard() | Flush() | BlockRequest() | Program():
                return bool(self._names)
            case Dmsetup(words):
                names = {word.strip("{}") for word in words[1:]}
                if names & self._below or words[0] == "info":
                    return False
                waits_for_pool = words[0] in ("suspend", "resume") and not names & self._pools
                return bool(self._below) or (bool(self._pools) and waits_for_pool)
            case _:
                return False

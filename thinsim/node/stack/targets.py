"""`read_targets` finds the lower devices in a device-mapper table, and the words that stop discards. Pure.

The forms of the lines are those of Documentation/admin-guide/device-mapper, one file per target.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from thinsim.dm.text import TableLine
from thinsim.node.stack.height import HeightKind
from thinsim.thin.table import POOL_TARGET, THIN_TARGET
from thinsim.units import SECTOR_SIZE

_NUMBER = re.compile(r"\d+:\d+")
_PASSDOWN = "no_discard_passdown"
_IGNORE = "ignore_discard"
_CRYPT_OPTION = "allow_discards"
_LVM_UUID = "LVM-"


@dataclass(frozen=True, slots=True)
class TargetPart:
    """A `TargetPart` is a part of a mapped device, and its place on a lower device, in bytes."""

    device: str
    begin: int
    length: int
    start: int | None
    """None if the target maps blocks to any place."""


@dataclass(frozen=True, slots=True)
class TargetView:
    """A `TargetView` has the facts about discards of a mapped device's table."""

    kind: HeightKind
    types: str
    lower: tuple[TargetPart, ...]
    options: tuple[str, ...] = ()
    block: int | None = None
    """The block of a thin pool, in bytes."""
    reason: str = ""
    """The reason why the table stops discards; empty if it does not."""


def read_targets(lines: Sequence[TableLine]) -> TargetView:
    """Return the facts of a table. A line of an unknown target has all the devices that it names."""
    views = [_READERS.get(line.kind, _other)(line, line.arguments.split()) for line in lines]
    kinds = {view.kind for view in views}
    return TargetView(
        kind=kinds.pop() if len(kinds) == 1 else HeightKind.MAPPED,
        types=", ".join(dict.fromkeys(line.kind for line in lines)) or "no table",
        lower=tuple(lower for view in views for lower in view.lower),
        options=tuple(dict.fromkeys(word for view in views for word in view.options)),
        block=next((view.block for view in views if view.block is not None), None),
        reason=next((view.reason for view in views if view.reason), ""),
    )


def volume_name(name: str, uuid: str) -> str:
    """Return ``group/volume`` for a device of LVM, or an empty text (lvm2, build_dm_name).

    LVM doubles the hyphens within names, and joins group, volume and layer with single ones.
    """
    if not uuid.startswith(_LVM_UUID):
        return ""
    parts = [part.replace("--", "-") for part in re.split(r"(?<!-)-(?!-)", name)]
    return "/".join(parts[:2])


def _view(
    line: TableLine,
    kind: HeightKind,
    devices: Iterable[tuple[str, int | None]],
    *,
    options: Sequence[str] = (),
    reason: str = "",
    block: int | None = None,
) -> TargetView:
    begin, length = line.start * SECTOR_SIZE, line.length * SECTOR_SIZE
    lower = tuple(TargetPart(device, begin, length, start) for device, start in devices)
    return TargetView(kind, line.kind, lower, tuple(options), block, reason)


def _linear(line: TableLine, words: Sequence[str]) -> TargetView:
    return _view(line, HeightKind.LINEAR, [(words[0], int(words[1]) * SECTOR_SIZE)])


def _striped(line: TableLine, words: Sequence[str]) -> TargetView:
    return _view(line, HeightKind.STRIPED, [(device, None) for device in words[2::2]])


def _thin(line: TableLine, words: Sequence[str]) -> TargetView:
    # Discards never go to an external origin.
    return _view(line, HeightKind.THIN, [(words[0], None)])


def _thin_pool(line: TableLine, words: Sequence[str]) -> TargetView:
    features = words[5:]
    reason = ""
    if _IGNORE in features:
        reason = f"the pool's table has {_IGNORE}"
    elif _PASSDOWN in features:
        reason = f"the pool's table has {_PASSDOWN}"
    block = int(words[2]) * SECTOR_SIZE
    return _view(line, HeightKind.THIN_POOL, [(words[1], None)], options=features, reason=reason, block=block)


def _crypt(line: TableLine, words: Sequence[str]) -> TargetView:
    options = words[6:]
    reason = "" if _CRYPT_OPTION in options else f"the table has no {_CRYPT_OPTION}"
    device = (words[3], int(words[4]) * SECTOR_SIZE)
    return _view(line, HeightKind.CRYPT, [device], options=options, reason=reason)


def _cache(line: TableLine, words: Sequence[str]) -> TargetView:
    count = int(words[4])
    features = words[5 : 5 + count]
    reason = f"the table has {_PASSDOWN}" if _PASSDOWN in features else ""
    return _view(line, HeightKind.CACHE, [(words[2], 0)], options=features, reason=reason)


def _other(line: TableLine, words: Sequence[str]) -> TargetView:
    devices = dict.fromkeys(word for word in words if _NUMBER.fullmatch(word))
    return _view(line, HeightKind.MAPPED, [(device, None) for device in devices])


_READERS: Mapping[str, Callable[[TableLine, Sequence[str]], TargetView]] = {
    "linear": _linear,
    "striped": _striped,
    THIN_TARGET: _thin,
    POOL_TARGET: _thin_pool,
    "crypt": _crypt,
    "cache": _cache,
}

"""Each image holds one pool's metadata with one damage, for the tests of ``thinsim metadata``."""

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.thin.metadata_damages import ANY_BLOCK, NO_NODES, NODES, Damage, damaged_pool, damages, places
from tests.thin.ram_store import RamStore


@functools.cache
def sound() -> RamStore:
    """Return the metadata without damage; the caller must not change it."""
    return damaged_pool().metadata


def save_damaged(damage: Damage, path: Path) -> Path:
    """Write the metadata with *damage* to *path* and return *path*."""
    store = sound().copy()
    block = places(sound())[damage.place]
    store.content[block] = damage.change(store.content[block])
    return store.save(path)


def damage_named(name: str) -> Damage:
    """Return the damage whose text is *name*, for example ``details leaf: zeroed``."""
    return next(each for each in damages(sound()) if str(each) == name)


def some_now_the_rest_long() -> list[Any]:
    """Return all damages as parameters; all but one per place are marked as long.

    The short ones take each kind of damage in turn.
    """
    seen: Counter[str] = Counter()
    turn = {place: number for number, place in enumerate(places(sound()))}
    marked = []
    for damage in damages(sound()):
        nr_kinds = len(ANY_BLOCK) if damage.place in NO_NODES else len(ANY_BLOCK | NODES)
        now = seen[damage.place] == turn[damage.place] % nr_kinds
        seen[damage.place] += 1
        marked.append(pytest.param(damage, id=str(damage), marks=[] if now else [pytest.mark.long]))
    return marked

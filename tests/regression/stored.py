"""Make the parts of baselines that the tests compare."""

import math
import random
from collections.abc import Sequence

from thinsim.regression.baseline import (
    Baseline,
    DiscardCost,
    OwnerLeak,
    ScenarioBaseline,
    VariantBaseline,
)

BLOCK = 65536
HERE = {"kernel": "Linux 6.1", "processor": "one", "file system": "ext4", "python": "3.11"}


def cost(own: float = 0.1, **changed: float) -> DiscardCost:
    """Return a round in which a discard takes *own* seconds, four fifths of them on a processor."""
    values = {
        "seconds": own,
        "processor": 0.8 * own,
        "delayed": 0.0,
        "reference_processor": 0.003,
        "reference_waited": 0.001,
    }
    return DiscardCost(**{**values, **changed})


def costs(seconds: float = 0.1, *, rounds: int = 3, spread: float = 0.0, seed: int = 0) -> list[DiscardCost]:
    """Return *rounds* of discards of about *seconds*, whose logarithms differ by *spread*."""
    chance = random.Random(seed)
    return [cost(seconds * math.exp(chance.gauss(0, spread))) for _ in range(rounds)]


def leak(snapshot: str, blocks: int, least: int | None = None) -> OwnerLeak:
    """Return what a snapshot leaked."""
    return OwnerLeak(
        snapshot=snapshot,
        reasons=["deleted without discard"],
        least_blocks=blocks if least is None else least,
        most_blocks=blocks,
    )


def variant(*leaks: OwnerLeak, **changed: object) -> VariantBaseline:
    """Return a variant that has *leaks*, and discards four devices."""
    blocks = sum(each.most_blocks for each in leaks)
    values: dict[str, object] = {
        "name": "v",
        "settings": "1",
        "fs_type": "ext4",
        "least_blocks": sum(each.least_blocks for each in leaks),
        "most_blocks": blocks,
        "most_leaked": blocks * BLOCK,
        "leaks": list(leaks),
        "asserts": ["p: leaked = 0", "p: x"],
        "broken": [],
        "discards": 4,
        "costs": costs(),
    }
    return VariantBaseline(**{**values, **changed})  # type: ignore[arg-type]


def scenario(*variants: VariantBaseline, **changed: object) -> ScenarioBaseline:
    """Return a scenario with *variants*, on the process rig."""
    values: dict[str, object] = {
        "key": "s.toml",
        "name": "s.toml",
        "title": "t",
        "rig": "process",
        "block_bytes": BLOCK,
        "sha256": "0",
        "environment": HERE,
        "rounds": 3,
    }
    return ScenarioBaseline(**{**values, **changed}, variants=list(variants))  # type: ignore[arg-type]


def baseline(*scenarios: ScenarioBaseline) -> Baseline:
    """Return a baseline of *scenarios*."""
    return Baseline(scenarios=list(scenarios))


def kinds(changes: Sequence[object]) -> list[str]:
    """Return the kinds of changes as texts."""
    return [str(change.kind) for change in changes]  # type: ignore[attr-defined]

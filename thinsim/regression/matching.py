"""`match_scenarios` and `match_variants` pair what ran now with what is in the baseline. Pure.

Scenarios are the same if their keys are, which do not depend on how a path is spelt. A file that was moved
or renamed is still known by its content, or else by its title if only one scenario has it. A file that is
still at its old place was not moved, so that a copy of it is another scenario. Variants are the same if their
names are; a variant that was renamed is known by its settings.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Protocol, TypeVar

from thinsim.regression.baseline import ScenarioBaseline, VariantBaseline


class IdentifiedScenario(Protocol):
    """An `IdentifiedScenario` has what a scenario is known by."""

    @property
    def key(self) -> str:
        """Return the key in the baseline."""

    @property
    def sha256(self) -> str:
        """Return the digest of the scenario's file."""

    @property
    def title(self) -> str:
        """Return the scenario's title."""


_Now = TypeVar("_Now")
_Then = TypeVar("_Then")


def match_scenarios(
    now: Sequence[IdentifiedScenario], then: Sequence[ScenarioBaseline], in_place: Collection[str] = ()
) -> tuple[list[ScenarioBaseline | None], list[ScenarioBaseline]]:
    """Return, for each scenario of *now*, the one of *then*, or None; and the rest of *then*.

    *in_place* has the keys of the scenarios of *then* that still exist; these are known by their keys alone.
    """
    by: list[Callable[[IdentifiedScenario], Hashable]] = [
        lambda each: each.key,
        lambda each: each.sha256,
        lambda each: each.title,
    ]
    found, rest = _match(now, then, by[:1])
    open_now = [number for number, each in enumerate(found) if each is None]
    moved, _ = _match(
        [now[number] for number in open_now], [each for each in rest if each.key not in in_place], by[1:]
    )
    for number, each in zip(open_now, moved, strict=True):
        found[number] = each
    return found, [each for each in rest if each not in moved]


def match_variants(
    now: Sequence[VariantBaseline], then: Sequence[VariantBaseline]
) -> tuple[list[VariantBaseline | None], list[VariantBaseline]]:
    """Return, for each variant of *now*, the one of *then*, or None; and the rest of *then*."""
    by: list[Callable[[VariantBaseline], Hashable]] = [lambda each: each.name, lambda each: each.settings]
    return _match(now, then, by)


def _match(
    now: Sequence[_Now], then: Sequence[_Then], identities: Sequence[Callable[[_Now | _Then], Hashable]]
) -> tuple[list[_Then | None], list[_Then]]:
    """Pair by the first identity, then the rest by the next, where only one item of each side has it."""
    found: list[_Then | None] = [None] * len(now)
    rest = list(then)
    for identity in identities:
        open_now = [number for number, each in enumerate(found) if each is None]
        for number in open_now:
            wanted = identity(now[number])
            same_now = [each for each in open_now if identity(now[each]) == wanted]
            same_then = [each for each in rest if identity(each) == wanted]
            if len(same_now) == len(same_then) == 1:
                found[number] = same_then[0]
                rest.remove(same_then[0])
    return found, rest

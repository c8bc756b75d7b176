"""`match_scenarios` and `match_variants` pair what ran now with what is in the baseline. Pure.

Scenarios are the same if their keys are, which do not depend on how a path is spelt. A file that was moved
or renamed is still known by its content, or else by its title if only one scenario has it. Variants are the
same if their names are; a variant that was renamed is known by its settings.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from thinsim.regression.baseline import ScenarioBaseline, VariantBaseline

_Item = TypeVar("_Item")
_Identity = Callable[[_Item], Hashable]


def match_scenarios(
    now: Sequence[ScenarioBaseline], then: Sequence[ScenarioBaseline]
) -> tuple[list[ScenarioBaseline | None], list[ScenarioBaseline]]:
    """Return, for each scenario of *now*, the one of *then*, or None; and the rest of *then*."""
    by: list[_Identity[ScenarioBaseline]] = [
        lambda each: each.key,
        lambda each: each.sha256,
        lambda each: each.title,
    ]
    return _match(now, then, by)


def match_variants(
    now: Sequence[VariantBaseline], then: Sequence[VariantBaseline]
) -> tuple[list[VariantBaseline | None], list[VariantBaseline]]:
    """Return, for each variant of *now*, the one of *then*, or None; and the rest of *then*."""
    by: list[_Identity[VariantBaseline]] = [lambda each: each.name, lambda each: each.settings]
    return _match(now, then, by)


def _match(
    now: Sequence[_Item], then: Sequence[_Item], identities: Sequence[_Identity[_Item]]
) -> tuple[list[_Item | None], list[_Item]]:
    """Pair by the first identity, then the rest by the next, where only one item of each side has it."""
    found: list[_Item | None] = [None] * len(now)
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

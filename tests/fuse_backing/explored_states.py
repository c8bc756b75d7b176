"""`explored` visits every state of a model of threads, in every order of their steps."""

from collections.abc import Callable, Hashable, Iterator
from typing import Protocol, TypeVar


class ModelState(Hashable, Protocol):
    """A `ModelState` is one state of all threads and of what they share."""

    @property
    def wrong(self) -> str:
        """Return what went wrong, or nothing."""


S = TypeVar("S", bound=ModelState)


def explored(first: S, successors: Callable[[S], Iterator[S]]) -> tuple[int, str]:
    """Return the number of states that can be reached from *first*, and the first wrong one's words.

    The words are empty if no state is wrong.
    """
    seen, open_states = {first}, [first]
    while open_states:
        state = open_states.pop()
        if state.wrong:
            return len(seen), state.wrong
        for after in successors(state):
            if after not in seen:
                seen.add(after)
                open_states.append(after)
    return len(seen), ""

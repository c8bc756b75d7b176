"""`unfinished` hands the measurements to the caller if an error or a signal ends the work early."""

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

_Result = TypeVar("_Result")


@contextmanager
def unfinished(
    begun: Sized, measured: Callable[[], _Result], keep: Callable[[_Result], object]
) -> Iterator[None]:
    """Call *keep* with the result of *measured* if the block raises anything, and raise it again.

    A cancelled task cannot return a result, since the cancellation unwinds it. *begun* has the runs that have
    begun; as long as there are none, there is nothing to keep.
    """
    try:
        yield
    except BaseException:
        if len(begun):
            keep(measured())
        raise


def forget(result: object) -> None:
    """Keep nothing: the caller has no use for half a result."""

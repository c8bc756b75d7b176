"""The checker of a pool in service: its metadata's, with the references that requests in flight hold."""

from thinsim.thin.metadata.check import Checker
from thinsim.thin.pool import Pool


def check(pool: Pool) -> list[str]:
    """Return what is wrong with *pool*, one line a problem; an empty list for a sound one.

    A block that a failed write left allocated is reported as leaked.
    """
    return [problem.text for problem in Checker(pool.metadata).check(pool.in_flight.count)]

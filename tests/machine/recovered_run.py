"""Recovers a run and tells what came of it."""

from thinsim.machine.journal import Journal, read_journal
from thinsim.machine.recovery import recover


def give_back(journal: Journal) -> tuple[list[str], list[str]]:
    """Recover; return the problems and the acts."""
    acts: list[str] = []
    return recover(read_journal(journal.path), acts.append), acts

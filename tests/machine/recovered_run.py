"""`recover_run` recovers a run for a test and returns the outcome."""

from thinsim.machine.journal import Journal, read_journal
from thinsim.machine.recovery import recover


def recover_run(journal: Journal) -> tuple[list[str], list[str]]:
    """Recover the run of *journal*; return the problems and the reported steps."""
    acts: list[str] = []
    return recover(read_journal(journal.path), acts.append), acts

"""Says whom long work tells what it does."""

from typing import Protocol


class StepProgress(Protocol):
    """Is told of each step."""

    def step(self, phase: str, step: str) -> None:
        """A step of *phase* begins."""


class Progress(StepProgress, Protocol):
    """Is told of runs, of their steps, and of what happens between them."""

    def say(self, text: str) -> None:
        """Show *text*, which is about no run."""

    def setting(self, number: int, of: int, name: str) -> None:
        """Run *number* *of* so many begins: a setting, a variant, a round."""

"""A `Progress` shows the user what a long command is doing."""

from typing import Protocol


class StepProgress(Protocol):
    """A `StepProgress` shows the steps of a run."""

    def step(self, phase: str, step: str) -> None:
        """Show that *step* of *phase* begins."""


class Progress(StepProgress, Protocol):
    """A `Progress` shows runs, their steps, and the work between the runs."""

    def say(self, text: str) -> None:
        """Print *text*, which belongs to no run."""

    def warn(self, text: str) -> None:
        """Print *text*, which the user needs to judge the results."""

    def setting(self, number: int, of: int, name: str) -> None:
        """Show that run *number* of *of* runs begins: a setting, a variant or a round."""

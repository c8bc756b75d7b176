"""`TerminalProgress` shows the progress of long work: a live line at a terminal, else a line per run."""

import time
from types import TracebackType

from rich.console import Console
from rich.status import Status

from thinsim.cli.output_console import warnings_console


class TerminalProgress:
    """A `TerminalProgress` is a `Progress` on a console. As a context manager, it removes its live line.

    Without *lines*, a log gets no line per run, because the caller prints its own.
    """

    def __init__(self, console: Console, *, lines: bool = True) -> None:
        self._console = console
        self._lines = lines
        self._status: Status | None = None
        self._where = ""
        self._begun = time.monotonic()

    def __enter__(self) -> "TerminalProgress":
        if self._console.is_terminal and not self._console.quiet:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def say(self, text: str) -> None:
        """Print a permanent line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a permanent line, even if the command is quiet."""
        console = warnings_console() if self._console.quiet else self._console
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    def setting(self, number: int, of: int, name: str) -> None:
        """Show that the run of a setting begins. A log gets this line only, and none per step."""
        self._where = f"[{number}/{of}] {name}"
        if self._status is None and self._lines:
            self.say(f"{self._elapsed:4.0f} s  {self._where}")
        self.step("setting up", "pool, loop devices, backing store")

    def step(self, phase: str, step: str) -> None:
        """Show that a step begins."""
        if self._status is not None:
            self._status.update(f"{self._elapsed:4.0f} s  {self._where}: {phase}: {step}", spinner="dots")

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._begun

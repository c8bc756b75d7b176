"""`TerminalProgress` shows the progress of long work: a live line at a terminal, else a line per phase."""

import time
from types import TracebackType

from rich.console import Console
from rich.status import Status


class TerminalProgress:
    """A `TerminalProgress` is a `Progress` on a console. As a context manager, it removes its live line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._where = ""
        self._phase = ""
        self._begun = time.monotonic()

    def __enter__(self) -> "TerminalProgress":
        if self._console.is_terminal:
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

    def setting(self, number: int, of: int, name: str) -> None:
        """Show that the run of a setting begins."""
        self._where, self._phase = f"[{number}/{of}] {name}", ""
        self.step("setting up", "pool, loop devices, backing store")

    def step(self, phase: str, step: str) -> None:
        """Show that a step begins."""
        elapsed = time.monotonic() - self._begun
        if self._status is not None:
            self._status.update(f"{elapsed:4.0f} s  {self._where}: {phase}: {step}", spinner="dots")
        elif phase != self._phase:
            line = f"{elapsed:4.0f} s  {self._where}: {phase}"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._phase = phase

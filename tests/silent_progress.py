"""A `SilentProgress` shows nothing."""


class SilentProgress:
    """A `SilentProgress` is for callers that have to pass a Progress."""

    def say(self, text: str) -> None: ...

    def setting(self, number: int, of: int, name: str) -> None: ...

    def step(self, phase: str, step: str) -> None: ...

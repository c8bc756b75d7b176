"""A Progress that tells nobody."""


class SilentProgress:
    """For every caller that has to pass a Progress; nothing is shown."""

    def say(self, text: str) -> None: ...

    def setting(self, number: int, of: int, name: str) -> None: ...

    def step(self, phase: str, step: str) -> None: ...

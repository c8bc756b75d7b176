"""`Step` is the base class of every step of a scenario file."""

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ConfigDict, Field, field_validator

from thinsim.errors import KernelError, ThinsimError
from thinsim.scenario.file.known_snapshots import KnownSnapshots, Refusal
from thinsim.scenario.file.session import ScenarioSession
from thinsim.scenario.file.values import Names, Strict

ERROR_WORDS = {
    "already_exists": "AlreadyExistsError",
    "not_found": "NotFoundError",
    "failed_precondition": "FailedPreconditionError",
    "invalid_argument": "InvalidArgumentError",
}
"""containerd's error classes by their word in ``fails``, which takes errno names as well."""


class StepFailedError(ThinsimError):
    """A `StepFailedError` means that a step failed, and not with the error that its ``fails`` expects."""


@dataclass(frozen=True, slots=True)
class AssertOutcome:
    """An `AssertOutcome` records one assert of *phase*, the value that was found, and whether it held.

    The text in *asserted* is the same in every run of the scenario.
    """

    phase: str
    """The phase of the assert."""
    asserted: str
    """The assert in words, the same in every run."""
    found: str
    """The measured value in words."""
    held: bool
    """True if the assert held."""
    why: str = ""
    """The remark of the assert."""


@dataclass(frozen=True, slots=True)
class RunningVariant:
    """A `RunningVariant` is the session for the steps of one variant.

    Relative paths are relative to *base*. Calling ``say`` prints a note for the user.
    """

    session: ScenarioSession
    base: Path
    say: Callable[[str], None]
    outcomes: list[AssertOutcome] = field(default_factory=list)
    """The outcomes of the asserts so far."""

    @contextmanager
    def failing_by_phase(self) -> Iterator[None]:
        """Turn an error into a StepFailedError that names the phase."""
        try:
            yield
        except (ThinsimError, OSError) as error:
            raise StepFailedError(f"phase {self.session.phase!r}: {text_of(error)}") from error


class Step(Strict, ABC):
    """A step is one table in the list of a phase."""

    # The title of a step in the schema is its word alone.
    model_config = ConfigDict(model_title_generator=lambda model: model.__name__.removesuffix("Step"))

    only: Names = Field(default_factory=list)
    """The variants in which the step runs, one name or a list; without it, all."""

    @abstractmethod
    async def take(self, run: RunningVariant) -> None:
        """Carry out the step. StepFailedError, with the step and its error, if it fails unexpectedly."""

    @property
    def needs_snapshotter(self) -> bool:
        """Return whether the step fails while the snapshotter is down."""
        return True

    def problems(self, phases: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield the problems of the step that no single value shows: the keys at fault, and a message.

        *phases* are the names of the phases up to this step's own.
        """
        yield from ()

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        """Return why the step cannot succeed with the snapshots that *known* has, or None.

        A scenario with such a step is refused before it runs. So a refusal must be certain.
        """
        return None

    def expect(self, known: KnownSnapshots) -> None:
        """Change *known* as the step will change the snapshots when it succeeds."""

    def doubts(self, known: KnownSnapshots) -> Iterator[Refusal]:
        """Yield what is surely a mistake in the step, although it does not stop the scenario."""
        yield from ()


class Act(Step):
    """An act is a step that can be expected to fail."""

    fails: Names = Field(default_factory=list)
    """The step must fail with one of these errors: an errno name such as `EIO`, or `already_exists`,
    `not_found`, `failed_precondition`, `invalid_argument`. One word or a list."""

    @field_validator("fails")
    @classmethod
    def _known(cls, words: list[str]) -> list[str]:
        for word in words:
            if word not in ERROR_WORDS and not (word.isupper() and hasattr(errno, word)):
                raise ValueError(
                    f"{word!r} is no error: use an errno name such as EIO, or {', '.join(ERROR_WORDS)}"
                )
        return words

    @abstractmethod
    async def act(self, run: RunningVariant) -> None:
        """Carry out the step. ThinsimError or ``OSError`` if it is refused."""

    async def take(self, run: RunningVariant) -> None:
        phase, asserted = run.session.phase, f"{self._name} fails with {' or '.join(self.fails)}"
        try:
            await self.act(run)
        except (ThinsimError, OSError) as error:
            if not set(self.fails) & set(_classes(error)):
                wanted = f"; expected {' or '.join(self.fails)}" if self.fails else ""
                raise StepFailedError(f"phase {phase!r}: {self._name}: {text_of(error)}{wanted}") from error
            run.outcomes.append(AssertOutcome(phase, asserted, text_of(error), True))
            return
        if self.fails:
            run.outcomes.append(AssertOutcome(phase, asserted, "it succeeded", False))

    @property
    def _name(self) -> str:
        values = [str(value) for name, value in self if name in ("key", "name") and value]
        return " ".join([str(getattr(self, "do", "")), *values])


def _classes(error: Exception) -> list[str]:
    """Return the words of ``fails`` that match *error*."""
    words = [word for word, name in ERROR_WORDS.items() if type(error).__name__ == name]
    number = error.errno if isinstance(error, (KernelError, OSError)) else None
    return words if number is None else [*words, errno.errorcode.get(number, "")]


def text_of(error: Exception) -> str:
    """Return the text of *error*, without the path of an OSError, which means nothing to a user."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)

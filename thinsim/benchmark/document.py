"""A `Benchmark` is the document that ``thinsim bench`` writes and ``thinsim compare`` reads.

``json_schema`` returns its schema; ``FORMAT`` is its version.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from thinsim.errors import WrongDocumentError
from thinsim.measure.machine_load import MachineLoad

FORMAT: Literal[1] = 1
"""The version grows when a field changes its meaning or disappears; new fields do not change it."""

_Figure = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


class Series(_Table):
    """A series holds the figures of one row of one contender at one size."""

    row: str
    """The name of the measurement."""
    unit: str
    """The unit of the figures."""
    more_is_better: bool
    """True if a larger figure is better."""
    contender: str
    """``RIG/SUBJECT/SETTING``, or the name of a command."""
    sizes: str
    """The sizes of image, container and pool, as text."""
    figures: list[_Figure | None] = Field(min_length=1)
    """One figure per round; None if the contender does not have the row."""

    @property
    def known(self) -> list[float]:
        """Return the figures, or an empty list unless every round has one."""
        known = [figure for figure in self.figures if figure is not None]
        return known if len(known) == len(self.figures) else []


class StepTimes(_Table):
    """The times of one kind of step of one contender at one size, over all rounds, in milliseconds."""

    step: str
    """The kind of step."""
    contender: str
    """The name of the contender."""
    sizes: str
    """The sizes of image, container and pool, as text."""
    count: int
    """The number of steps in all rounds."""
    p50: _Figure
    """Half of the steps took at most this time."""
    p90: _Figure | None
    """90 % of the steps took at most this time; null with fewer than 10 steps."""
    p99: _Figure | None
    """99 % of the steps took at most this time; null with fewer than 100 steps."""
    longest: _Figure
    """The longest step."""


class RoundLoad(_Table):
    """A round load is the load of the machine during one round."""

    round: int
    """The number of the round, from 1."""
    load: MachineLoad
    """The load, from the first to the last run of the round."""


class Benchmark(_Table):
    """A benchmark holds the measurements of one run, which has interleaved rounds."""

    kind: Literal["thinsim bench"]
    """The kind of document."""
    format: Literal[1]
    """The version of the document."""
    command: str
    """The command that repeats the benchmark."""
    environment: dict[str, str]
    """Kernel, file systems, programs and their versions."""
    rounds: int
    """The rounds that count."""
    warm_up: int
    """Number of warm-up rounds, which came first and are not in the figures."""
    contenders: list[str]
    """The contenders; ratios are relative to the first."""
    sizes: list[str]
    """The combinations of sizes."""
    cut_short: str | None = None
    """The reason for fewer rounds than planned, or null. The figures are those of the complete rounds."""
    series: list[Series]
    """The figures."""
    steps: list[StepTimes] = []
    """The times of single steps."""
    loads: list[RoundLoad] = []
    """The load of the machine, round by round. Documents of older versions have none."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        seen = set()
        for each in self.series:
            name = f"{each.row}, {each.contender}, {each.sizes}"
            if len(each.figures) != self.rounds:
                raise ValueError(f"{name}: {len(each.figures)} figures of {self.rounds} rounds")
            if name in seen:
                raise ValueError(f"{name}: is there twice")
            seen.add(name)
        return self

    @property
    def rounds_text(self) -> str:
        """Return the number of rounds in words: ``1 round``, ``5 rounds``."""
        return f"{self.rounds} round{'s' if self.rounds > 1 else ''}"

    @property
    def rows(self) -> list[str]:
        """Return the names of the rows, in their order."""
        return list(dict.fromkeys(series.row for series in self.series))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a document. InvalidValueError, with the first mistake, if it is malformed; ``OSError``."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            fault = f"{where}: {first['msg'].removeprefix('Value error, ')}"
            raise WrongDocumentError(
                path, "result of thinsim bench", fault, "thinsim bench --json FILE"
            ) from error

    def find(self, row: str, contender: str, sizes: str) -> Series | None:
        """Return the series of a row, a contender and sizes, or None."""
        wanted = (row, contender, sizes)
        return next((each for each in self.series if (each.row, each.contender, each.sizes) == wanted), None)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a benchmark."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Benchmark.model_json_schema(mode="serialization"),
    }

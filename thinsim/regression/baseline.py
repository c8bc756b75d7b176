"""Keeps in a file what a few rounds of scenarios measured, to compare later runs with. Pure."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thinsim.errors import InvalidValueError
from thinsim.report.document import Report, VariantRun

_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VariantBaseline(_Table):
    """One variant over all rounds. Bytes and seconds."""

    name: str
    """The variant's name."""
    least_leaked: _Count
    """The least that leaked in a round."""
    most_leaked: _Count
    """The most that leaked in a round."""
    leaked_by: dict[str, _Count]
    """The most that each snapshot leaked."""
    broken: list[str]
    """Asserts that did not hold in some round."""
    discards: _Count
    """Devices that were discarded in a round."""
    discard_seconds: _Seconds
    """What that took, the shortest of the rounds: what disturbs a run only makes it longer."""


class ScenarioBaseline(_Table):
    """One scenario on one rig."""

    name: str
    """The name or path that the command was given."""
    rig: str
    """The rig that ran it."""
    sha256: str
    """Of the scenario's file."""
    rounds: int
    """The number of rounds."""
    machine_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """What a fixed work took on the machine meanwhile, the shortest time."""
    variants: Annotated[list[VariantBaseline], Field(min_length=1)]
    """The variants."""


class Baseline(_Table):
    """The file."""

    kind: Literal["thinsim baseline"] = "thinsim baseline"
    """The kind of document."""
    format: Literal[1] = 1
    """The version of the document."""
    environment: dict[str, str]
    """Kernel, file systems, programs and their versions."""
    scenarios: Annotated[list[ScenarioBaseline], Field(min_length=1)]
    """The scenarios."""

    def find(self, name: str) -> ScenarioBaseline | None:
        """Return the scenario called *name*."""
        return next((each for each in self.scenarios if each.name == name), None)


def measured(rounds: Sequence[Report], machine_seconds: float) -> ScenarioBaseline:
    """Return what *rounds* of one scenario come to, on a machine of that speed."""
    first = rounds[0]
    return ScenarioBaseline(
        name=first.name,
        rig=first.rig,
        sha256=digest(first.scenario),
        rounds=len(rounds),
        machine_seconds=machine_seconds,
        variants=[_variant([report.runs[number] for report in rounds]) for number in range(len(first.runs))],
    )


def digest(text: str) -> str:
    """Return what tells one scenario's text from another's."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_baseline(text: str, source: str) -> Baseline:
    """Read a baseline's file; InvalidValueError names *source* and the first thing that is wrong."""
    try:
        return Baseline.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise InvalidValueError(f"{source}: not a thinsim baseline: {place}: {first['msg']}") from None


def _variant(runs: Sequence[VariantRun]) -> VariantBaseline:
    leaked_by: dict[str, int] = {}
    for run in runs:
        of_run: dict[str, int] = {}
        for leak in run.leaks:
            of_run[leak.owner.snapshot] = of_run.get(leak.owner.snapshot, 0) + leak.bytes
        for snapshot, lost in of_run.items():
            leaked_by[snapshot] = max(lost, leaked_by.get(snapshot, 0))
    broken = {f"{o.phase}: {o.asserted}" for run in runs for o in run.outcomes if not o.held}
    return VariantBaseline(
        name=runs[0].name,
        least_leaked=min(run.leaked for run in runs),
        most_leaked=max(run.leaked for run in runs),
        leaked_by=leaked_by,
        broken=sorted(broken),
        discards=max(run.speed.discards for run in runs),
        discard_seconds=min(run.speed.discard_seconds for run in runs),
    )

"""A `Baseline` stores the measurements of a few rounds for comparisons with later runs. Pure."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thinsim.errors import WrongDocumentError
from thinsim.report.document import Report, VariantRun

_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VariantBaseline(_Table):
    """A `VariantBaseline` sums up one variant over all rounds, in bytes and seconds."""

    name: str
    """The variant's name."""
    least_leaked: _Count
    """The least that leaked in a round."""
    most_leaked: _Count
    """The most that leaked in a round."""
    leaked_by: dict[str, _Count]
    """The most bytes that each snapshot leaked in any round."""
    broken: list[str]
    """Asserts that failed in at least one round."""
    discards: _Count
    """The number of devices that a round discarded."""
    discard_seconds: _Seconds
    """Seconds of discards in the shortest round. A disturbance can only lengthen a round."""


class ScenarioBaseline(_Table):
    """A `ScenarioBaseline` holds the measurements of one scenario on one rig."""

    name: str
    """The name or path that the command was given."""
    rig: str
    """The rig that ran it."""
    sha256: str
    """The digest of the scenario's file."""
    rounds: int
    """The number of rounds."""
    machine_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """The shortest time, in seconds, of a fixed work on this machine during the rounds."""
    variants: Annotated[list[VariantBaseline], Field(min_length=1)]
    """The variants."""


class Baseline(_Table):
    """A `Baseline` is the content of a baseline file."""

    kind: Literal["thinsim baseline"] = "thinsim baseline"
    """The kind of document."""
    format: Literal[1] = 1
    """The version of the document."""
    environment: dict[str, str]
    """Kernel, file systems, programs and their versions."""
    scenarios: Annotated[list[ScenarioBaseline], Field(min_length=1)]
    """The scenarios."""

    def find(self, name: str) -> ScenarioBaseline | None:
        """Return the scenario named *name*, or None."""
        return next((each for each in self.scenarios if each.name == name), None)


def measured(rounds: Sequence[Report], machine_seconds: float) -> ScenarioBaseline:
    """Return the baseline of one scenario; *machine_seconds* is the time of the fixed work."""
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
    """Return the digest that distinguishes one scenario's text from another's."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_baseline(text: str, source: str) -> Baseline:
    """Read the text of a baseline file. InvalidValueError names *source* and the first fault."""
    try:
        return Baseline.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        command = "thinsim baseline save SCENARIO... -o FILE"
        fault = f"{place}: {first['msg']}"
        raise WrongDocumentError(source, "thinsim baseline", fault, command) from None


def _variant(runs: Sequence[VariantRun]) -> VariantBaseline:
    leaked_by: dict[str, int] = {}
    for run in runs:
        of_run: dict[str, int] = {}
        for leak in run.leaks:
            of_run[leak.owner.snapshot] = of_run.get(leak.owner.snapshot, 0) + leak.bytes
        for snapshot, lost in of_run.items():
            leaked_by[snapshot] = max(lost, leaked_by.get(snapshot, 0))
    broken = {f"{o.phase}: {o.asserted}" for run in runs for o in run.outcomes if not o.held}
    speeds = [run.speed for run in runs if run.speed is not None]
    return VariantBaseline(
        name=runs[0].name,
        least_leaked=min(run.leaked for run in runs),
        most_leaked=max(run.leaked for run in runs),
        leaked_by=leaked_by,
        broken=sorted(broken),
        discards=max((speed.discards for speed in speeds), default=0),
        discard_seconds=min((speed.discard_seconds for speed in speeds), default=0.0),
    )

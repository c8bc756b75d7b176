"""Makes of a scenario's run the document that ``--json`` writes and every other form is made from.

``json_schema`` is its schema; ``FORMAT`` its version.
"""

import shlex
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fuse_backing.events import LedgerEvent
from thinsim.errors import WrongDocumentError
from thinsim.measure.attribution import Leak
from thinsim.measure.sample import StepSample
from thinsim.report.environment import environment
from thinsim.report.phase_table import Column
from thinsim.scenario.file.document import OWN_KEYS
from thinsim.scenario.file.run import START, ScenarioResult, VariantResult
from thinsim.scenario.file.steps.step import AssertOutcome

FORMAT = 1
"""Raised when a field changes its meaning or goes; new fields do not raise it."""

_KIND: Literal["thinsim scenario"] = "thinsim scenario"


class _Table(BaseModel):
    # Fields that a newer thinsim added are read over.
    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


class PoolFacts(_Table):
    """The pool that stood. Bytes."""

    data_size: int
    """Size of the data device."""
    metadata_size: int
    """Size of the metadata device."""
    block_bytes: int
    """Size of a data block."""
    features: list[str]
    """Feature arguments of the pool's table."""


class Speed(_Table):
    """What was waited for, in seconds."""

    write_seconds: float
    """For files to be written, all writing steps together."""
    discards: int
    """Devices that the snapshotter discarded."""
    discard_seconds: float
    """For those discards."""


class VariantRun(_Table):
    """One variant's run."""

    name: str
    """The variant's name."""
    snapshotter: dict[str, str | bool | int | float]
    """The snapshotter's configuration, containerd's keys."""
    started: float
    """Seconds since the epoch."""
    leaked: int
    """Bytes allocated on the host at the end that no mapping of the pool needs."""
    leaks: list[Leak]
    """The same by owner, largest first."""
    outcomes: list[AssertOutcome]
    """What was asserted, in order, and whether it held."""
    samples: list[StepSample]
    """One measurement a step."""
    events: list[LedgerEvent]
    """What the store saw of the data file: hole punches, and requests that planned faults struck."""
    speed: Speed
    """The time spent on writes and discards."""
    seconds: dict[str, float]
    """Where the time went: per phase, and ``measuring``."""


class Report(_Table):
    """The document."""

    kind: Literal["thinsim scenario"] = _KIND
    """The kind of document."""
    format: Literal[1] = 1
    """The version of the document."""
    thinsim: str
    """The version of thinsim."""
    name: str
    """What the user called the scenario: a file, or a name of the library."""
    title: str
    """The scenario's title."""
    containerd_does: str
    """The scenario's text of that name."""
    it_should: str
    """The scenario's text of that name."""
    scenario: str
    """The scenario's file, whole."""
    command: list[str]
    """What to type to repeat the run."""
    rig: str
    """The rig that ran the scenario."""
    pool: PoolFacts
    """The pool of each run."""
    environment: dict[str, str]
    """Kernel, file systems, programs and their versions."""
    phases: list[str]
    """In order."""
    runs: list[VariantRun]
    """The runs, one per variant."""
    seconds: dict[str, float]
    """Seconds spent, by activity, all variants together."""
    kept: str | None
    """Where the files are, if they were kept."""

    @property
    def command_line(self) -> str:
        """The command as a shell takes it."""
        return shlex.join(self.command)

    @property
    def worst_leak(self) -> int:
        """The most that a variant leaked, bytes."""
        return max((run.leaked for run in self.runs), default=0)

    @property
    def broken(self) -> list[tuple[str, AssertOutcome]]:
        """Each variant's asserts that did not hold."""
        return [(run.name, outcome) for run in self.runs for outcome in run.outcomes if not outcome.held]

    @property
    def columns(self) -> list[Column]:
        """The runs as the phase table compares them."""
        return [Column(run.name, run.samples, run.leaks) for run in self.runs]


def report_of(result: ScenarioResult) -> Report:
    """Return the document of a run that has just ended."""
    request, shape = result.request, result.shape
    options = [word for name in request.variants for word in ("--variant", name)]
    facts = environment(request.directory)
    return Report(
        thinsim=facts["thinsim"],
        name=request.name,
        title=request.scenario.title,
        containerd_does=_prose(request.scenario.containerd_does),
        it_should=_prose(request.scenario.it_should),
        scenario=request.text,
        command=["thinsim", "run", request.name, "--rig", request.rig.name, *options],
        rig=request.rig.name,
        pool=PoolFacts(
            data_size=shape.data_size,
            metadata_size=shape.metadata_size,
            block_bytes=shape.block_bytes,
            features=list(shape.features),
        ),
        environment=facts,
        phases=[START, *(phase.name for phase in request.scenario.phase)],
        runs=[_run(run) for run in result.runs],
        seconds=result.seconds,
        kept=str(result.kept) if result.kept is not None else None,
    )


def to_json(report: Report) -> str:
    """Return the text that ``--json`` writes."""
    return report.model_dump_json(indent=1)


def from_json(text: str, source: str) -> Report:
    """Read what ``to_json`` returned; InvalidValueError names *source* and the first thing that is wrong."""
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        kind, fault = f"thinsim report of format {FORMAT}", f"{place}: {first['msg']}"
        raise WrongDocumentError(source, kind, fault, "thinsim run SCENARIO --json FILE") from None


def json_schema() -> dict[str, Any]:
    """Return the schema of the document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Report.model_json_schema(mode="serialization"),
    }


def _run(run: VariantResult) -> VariantRun:
    return VariantRun(
        name=run.variant.name,
        snapshotter={key: value for key, value in asdict(run.config).items() if key not in OWN_KEYS},
        started=run.started,
        leaked=run.leaked,
        leaks=list(run.leaks),
        outcomes=list(run.outcomes),
        samples=list(run.samples),
        events=list(run.events),
        speed=Speed(
            write_seconds=run.write_seconds, discards=run.discards, discard_seconds=run.discard_seconds
        ),
        seconds=run.seconds,
    )


def _prose(text: str) -> str:
    return " ".join(text.split())

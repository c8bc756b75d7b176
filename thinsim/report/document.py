"""A `Report` is the document that ``--json`` writes; the table, the page and the XML are made from it.

``json_schema`` returns its schema; ``FORMAT`` is its version.
"""

import shlex
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fuse_backing.events import LedgerEvent
from thinsim.errors import WrongDocumentError
from thinsim.measure.attribution import Leak
from thinsim.measure.reference_work import ReferenceTimes
from thinsim.measure.sample import StepSample
from thinsim.report.environment import environment
from thinsim.report.phase_table import Column
from thinsim.scenario.file.document import OWN_KEYS
from thinsim.scenario.file.run import START, ScenarioResult, VariantResult
from thinsim.scenario.file.steps.step import AssertOutcome

FORMAT = 1
"""The version grows when a field changes its meaning or disappears; new fields do not change it."""

_KIND: Literal["thinsim scenario"] = "thinsim scenario"


class _Table(BaseModel):
    # A newer thinsim may have added fields; they are ignored.
    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


class PoolFacts(_Table):
    """The pool of the run has these sizes, in bytes, and these features."""

    data_size: int
    """Size of the data device."""
    metadata_size: int
    """Size of the metadata device."""
    block_bytes: int
    """Size of a data block."""
    features: list[str]
    """Feature arguments of the pool's table."""


class Speed(_Table):
    """A run waits for writes and for discards; the times are in seconds."""

    write_seconds: float
    """Time of all steps that write files."""
    discards: int
    """Number of devices that the snapshotter discarded."""
    discard_seconds: float
    """Time of those discards."""
    discard_processor_seconds: float = 0.0
    """Of it, the time that thinsim's processes spent on a processor."""
    discard_delayed_seconds: float = 0.0
    """Of it, the time that they waited for a processor, because other programs had it."""
    reference: ReferenceTimes | None = None
    """The reference work around the discards, if the run was made for a comparison."""


class VariantRun(_Table):
    """A `VariantRun` holds the measurements of one variant's run."""

    name: str
    """The variant's name."""
    snapshotter: dict[str, str | bool | int | float]
    """The snapshotter's configuration, with the keys of containerd."""
    started: float
    """Seconds since the epoch."""
    leaked: int
    """Bytes allocated on the host at the end that no mapping of the pool needs."""
    leaks: list[Leak]
    """The same bytes by owner, largest first."""
    outcomes: list[AssertOutcome]
    """The outcomes of the asserts, in order."""
    samples: list[StepSample]
    """One measurement per step."""
    events: list[LedgerEvent]
    """The store's events on the data file: hole punches, and requests that planned faults struck."""
    speed: Speed
    """The time spent on writes and discards."""
    seconds: dict[str, float]
    """Seconds of each phase, and of ``measuring``."""


class Report(_Table):
    """The report describes a run of a scenario, with all its variants."""

    kind: Literal["thinsim scenario"] = _KIND
    """The kind of document."""
    format: Literal[1] = 1
    """The version of the document."""
    thinsim: str
    """The version of thinsim."""
    name: str
    """The user's word for the scenario: a file, or a name in the library."""
    title: str
    """The scenario's title."""
    containerd_does: str
    """The scenario's text of that name."""
    it_should: str
    """The scenario's text of that name."""
    scenario: str
    """The content of the scenario's file."""
    command: list[str]
    """The words of the command that repeats the run."""
    rig: str
    """The rig that ran the scenario."""
    pool: PoolFacts
    """The pool of each run."""
    environment: dict[str, str]
    """Kernel, file systems, programs and their versions."""
    phases: list[str]
    """The names of the phases, in order."""
    runs: list[VariantRun]
    """The runs, one per variant."""
    seconds: dict[str, float]
    """Seconds spent, by activity, all variants together."""
    kept: str | None
    """The directory of the run's files, if they were kept."""

    @property
    def command_line(self) -> str:
        """Return the command, quoted for a shell."""
        return shlex.join(self.command)

    @property
    def worst_leak(self) -> int:
        """Return the number of bytes that the worst variant leaked."""
        return max((run.leaked for run in self.runs), default=0)

    @property
    def broken(self) -> list[tuple[str, AssertOutcome]]:
        """Return the asserts that did not hold, each with the name of its variant."""
        return [(run.name, outcome) for run in self.runs for outcome in run.outcomes if not outcome.held]

    @property
    def columns(self) -> list[Column]:
        """Return the runs as columns of the phase table."""
        return [Column(run.name, run.samples, run.leaks) for run in self.runs]


def report_of(result: ScenarioResult) -> Report:
    """Return the report of a run that has just ended."""
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
    """Read a text of ``to_json``. InvalidValueError, with *source* and the first mistake, for any other."""
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        kind, fault = f"thinsim report of format {FORMAT}", f"{place}: {first['msg']}"
        raise WrongDocumentError(source, kind, fault, "thinsim run SCENARIO --json FILE") from None


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a report."""
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
            write_seconds=run.write_seconds,
            discards=run.discards.discards,
            discard_seconds=run.discards.seconds,
            discard_processor_seconds=run.discards.processor,
            discard_delayed_seconds=run.discards.delayed,
            reference=run.discards.reference if run.discards.reference.units else None,
        ),
        seconds=run.seconds,
    )


def _prose(text: str) -> str:
    return " ".join(text.split())

"""A `Report` is the document that ``--json`` writes; the table, the page and the XML are made from it.

``json_schema`` returns its schema; ``FORMAT`` is its version.
"""

import json
import shlex
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fuse_backing.events import LedgerEvent
from thinsim.errors import WrongDocumentError
from thinsim.measure.attribution import Leak
from thinsim.measure.reference_work import ReferenceTimes
from thinsim.measure.sample import StepSample
from thinsim.report.phase_table import Column
from thinsim.rig.shape import PoolShape
from thinsim.scenario.file.steps.step import AssertOutcome

KIND: Literal["thinsim report"] = "thinsim report"

FORMAT = 2
"""The version grows when a field changes its meaning or disappears; new fields do not change it."""

EARLIER_KIND = "thinsim scenario"
"""The kind of a report of format 1, which could only be that of a scenario. Its fields are the same."""


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

    @classmethod
    def of(cls, shape: PoolShape) -> "PoolFacts":
        """Return the facts of a pool of *shape*."""
        return cls(
            data_size=shape.data_size,
            metadata_size=shape.metadata_size,
            block_bytes=shape.block_bytes,
            features=list(shape.features),
        )


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
    """A `VariantRun` holds the measurements of the run of one variant of a scenario, or of one setting."""

    name: str
    """The name of the variant or setting, as the table shows it."""
    setting: str | None = None
    """The word of `--setting`, in a report of `thinsim reproduce`."""
    cut_short: str | None = None
    """The reason why the run did not get to its end. The measurements are those of the steps before."""
    snapshotter: dict[str, str | bool | int | float]
    """The snapshotter's configuration, with the keys of containerd."""
    started: float
    """Seconds since the epoch."""
    leaked: int
    """Bytes allocated on the host at the end that no mapping of the pool needs."""
    leaks: list[Leak]
    """The same bytes by owner, largest first."""
    fs_type: str = ""
    """The type of the file systems in the snapshots; empty if the rig simulates one."""
    outcomes: list[AssertOutcome]
    """The outcomes of the asserts, in order."""
    samples: list[StepSample]
    """One measurement per step."""
    events: list[LedgerEvent]
    """The store's events on the data file: hole punches, and requests that planned faults struck."""
    speed: Speed | None = None
    """The time spent on writes and discards; absent in a report of `thinsim reproduce`."""
    seconds: dict[str, float]
    """Seconds of each phase, and of ``measuring``."""


class ReproducedWork(_Table):
    """The runs of `thinsim reproduce` have the same subject, image and container."""

    subject: str
    """The snapshotter: `core`, `containerd` or `proxy`."""
    image: str
    """The name of the image."""
    layers: int
    """The number of layers of the image."""
    container_bytes: int
    """Bytes that the container wrote and kept."""
    kernel: str
    """The release of Linux on which the pool ran."""
    repeatable: bool
    """True if `--repeatable` was given."""
    setup: str | None
    """The set-up of `--setup`, or null."""
    config_toml: str
    """With a set-up, the table for containerd's `config.toml`; otherwise empty."""


class Report(_Table):
    """The report describes the variants of a scenario, or the settings of `thinsim reproduce`."""

    kind: Literal["thinsim report"] = KIND
    """The kind of document."""
    format: Literal[2] = 2
    """The version of the document."""
    cut_short: str | None = None
    """The reason why the command did not get to its end, or null. Steps or whole runs may be missing."""
    thinsim: str
    """The version of thinsim."""
    name: str
    """The user's word for the scenario, a file or a name in the library; or `reproduce`."""
    title: str
    """The scenario's title, or a line about the image and the container."""
    containerd_does: str
    """The scenario's text of that name."""
    it_should: str
    """The scenario's text of that name."""
    scenario: str
    """The content of the scenario's file; empty in a report of `thinsim reproduce`."""
    reproduction: ReproducedWork | None = None
    """The work of `thinsim reproduce`; null in the report of a scenario."""
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
    """The runs that have begun, one per variant or setting."""
    seconds: dict[str, float]
    """Seconds spent, by activity, all runs together."""
    kept: str | None
    """The directory of the run's files, if they were kept."""

    @property
    def command_line(self) -> str:
        """Return the command, quoted for a shell."""
        return shlex.join(self.command)

    @property
    def cut_short_lines(self) -> list[str]:
        """Return two lines with the place and the reason if the command ended early, else none."""
        if self.cut_short is None:
            return []
        broken = [run.name for run in self.runs if run.cut_short is not None]
        where = f"in {', '.join(broken)}" if broken else "after the last run"
        return [f"Cut short {where}: {self.cut_short}", "The figures are those of the steps before."]

    @property
    def broken(self) -> list[tuple[str, AssertOutcome]]:
        """Return the asserts that did not hold, each with the name of its variant."""
        return [(run.name, outcome) for run in self.runs for outcome in run.outcomes if not outcome.held]

    @property
    def columns(self) -> list[Column]:
        """Return the runs as columns of the phase table."""
        return [
            Column(run.name, run.samples, run.leaks, run.fs_type, cut_short=run.cut_short is not None)
            for run in self.runs
        ]


def to_json(report: Report) -> str:
    """Return the text that ``--json`` writes."""
    return report.model_dump_json(indent=1)


def from_json(text: str, source: str) -> Report:
    """Read a text of ``to_json``. InvalidValueError, with *source* and the first mistake, for any other."""
    try:
        return Report.model_validate(_updated(json.loads(text)))
    except (ValidationError, ValueError) as error:
        place, fault = "the document", "Invalid JSON"
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            place, fault = ".".join(map(str, first["loc"])) or place, first["msg"]
        kind = f"thinsim report of format {FORMAT}"
        raise WrongDocumentError(
            source, kind, f"{place}: {fault}", "thinsim run SCENARIO --json FILE"
        ) from None


def _updated(document: Any) -> Any:
    """Return a report of format 1 as one of the present format."""
    if isinstance(document, dict) and (document.get("kind"), document.get("format")) == (EARLIER_KIND, 1):
        return {**document, "kind": KIND, "format": FORMAT}
    return document


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a report."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Report.model_json_schema(mode="serialization"),
    }

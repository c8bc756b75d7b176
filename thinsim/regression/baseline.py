"""A `Baseline` stores the measurements of a few rounds for comparisons with later runs. Pure."""

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thinsim.errors import WrongDocumentError
from thinsim.report.document import Report, Speed, VariantRun

FORMAT: Literal[2] = 2
"""The version grows when a field changes its meaning or disappears."""

LIBRARY = "library:"
"""The keys of scenarios of thinsim's library begin with this; other keys are paths."""

_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DiscardCost(_Table):
    """A `DiscardCost` has the times of a variant's discards in one round, in seconds."""

    seconds: _Seconds
    """Time that the snapshotter waited for them."""
    processor: _Seconds
    """Of it, the time that thinsim's processes spent on a processor."""
    delayed: _Seconds
    """Of it, the time that they waited for a processor, because other programs had it."""
    reference_processor: _Seconds
    """Processor time of one unit of the reference work around the discards; 0 if it did not run."""
    reference_waited: _Seconds
    """Time that one unit of the reference work waited for the disk."""


class OwnerLeak(_Table):
    """An `OwnerLeak` has the data blocks that one snapshot leaked, over all rounds."""

    snapshot: str
    """The key or name of the snapshot; empty if no removal freed the blocks."""
    reasons: list[str]
    """The reasons, as sentences; that of the most bytes in the first round comes first."""
    least_blocks: _Count
    """The least in a round."""
    most_blocks: _Count
    """The most in a round."""


class VariantBaseline(_Table):
    """A `VariantBaseline` sums up one variant over all rounds."""

    name: str
    """The variant's name."""
    settings: str
    """The digest of the snapshotter's settings, which identifies a variant that was renamed."""
    fs_type: str
    """The file system on the thin devices."""
    least_blocks: _Count
    """The least data blocks that leaked in a round."""
    most_blocks: _Count
    """The most data blocks that leaked in a round."""
    most_leaked: _Count
    """The most bytes that leaked in a round."""
    leaks: list[OwnerLeak]
    """The leaked blocks by owner and reason, most first."""
    asserts: list[str]
    """All asserts."""
    broken: list[str]
    """Asserts that failed in at least one round."""
    found: dict[str, str] = {}
    """The findings of the failed asserts, by assert, in the last round in which each failed."""
    discards: _Count
    """The number of devices that a round discarded."""
    costs: list[DiscardCost]
    """The times of the discards, one entry per round."""
    seconds: _Seconds = 0.0
    """Seconds that the variant's runs took, all rounds together."""


class ScenarioBaseline(_Table):
    """A `ScenarioBaseline` holds the measurements of one scenario on one rig."""

    key: str
    """The identity of the scenario: its path from the baseline's directory, or ``library:NAME``."""
    name: str
    """The name or path that the command was given."""
    title: str
    """The scenario's title."""
    rig: str
    """The rig that ran it."""
    block_bytes: Annotated[int, Field(gt=0)]
    """Size of a data block of the pool, in bytes."""
    sha256: str
    """The digest of the scenario's file."""
    environment: dict[str, str]
    """Kernel, file systems, programs and their versions."""
    rounds: Annotated[int, Field(gt=0)]
    """The number of rounds."""
    variants: Annotated[list[VariantBaseline], Field(min_length=1)]
    """The variants."""


class Baseline(_Table):
    """A `Baseline` is the content of a baseline file."""

    kind: Literal["thinsim baseline"] = "thinsim baseline"
    """The kind of document."""
    format: Literal[2] = FORMAT
    """The version of the document."""
    scenarios: Annotated[list[ScenarioBaseline], Field(min_length=1)]
    """The scenarios."""


def measured(key: str, rounds: Sequence[Report]) -> ScenarioBaseline:
    """Return the baseline of one scenario, of which *rounds* has the reports."""
    first = rounds[0]
    return ScenarioBaseline(
        key=key,
        name=first.name,
        title=first.title,
        rig=first.rig,
        block_bytes=first.pool.block_bytes,
        sha256=digest(first.scenario),
        environment=first.environment,
        rounds=len(rounds),
        variants=[_variant([report.runs[number] for report in rounds]) for number in range(len(first.runs))],
    )


def scenario_key(path: PurePath, directory: PurePath, library: PurePath) -> str:
    """Return the key of the scenario at *path* in a baseline that lies in *directory*.

    All three are real paths. The spelling of a command line, and the place of the whole project, do not
    change the key. Files in *library* have their name as the key.
    """
    if path.parent == library:
        return f"{LIBRARY}{path.stem}"
    return PurePath(os.path.relpath(path, directory)).as_posix()


def digest(text: str) -> str:
    """Return the digest that distinguishes one scenario's text from another's."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_baseline(text: str, source: str) -> Baseline:
    """Read the text of a baseline file. InvalidValueError names *source* and the first fault."""
    try:
        return Baseline.model_validate_json(text)
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=lambda each: each["loc"] != ("format",))
        place = ".".join(map(str, first["loc"])) or "the document"
        command = "thinsim baseline save SCENARIO... -o FILE"
        fault = f"{place}: {first['msg']}"
        raise WrongDocumentError(source, "thinsim baseline", fault, command) from None


def replaced(stored: Baseline, now: Sequence[ScenarioBaseline], gone: Collection[str]) -> Baseline:
    """Return *stored* with the scenarios of *now* in it, and without the other keys that are in *gone*.

    A scenario takes the place of the one with its key; the others come last.
    """
    fresh = {each.key: each for each in now}
    kept = [
        fresh.pop(each.key, each) for each in stored.scenarios if each.key in fresh or each.key not in gone
    ]
    return Baseline(scenarios=[*kept, *fresh.values()])


def _variant(runs: Sequence[VariantRun]) -> VariantBaseline:
    leaked = [sum(leak.blocks for leak in run.leaks) for run in runs]
    found = {f"{o.phase}: {o.asserted}": str(o.found) for run in runs for o in run.outcomes if not o.held}
    return VariantBaseline(
        name=runs[0].name,
        settings=digest(json.dumps(runs[0].snapshotter, sort_keys=True)),
        fs_type=str(runs[0].snapshotter["fs_type"]),
        least_blocks=min(leaked),
        most_blocks=max(leaked),
        most_leaked=max(run.leaked for run in runs),
        leaks=_owners(runs),
        asserts=sorted({f"{o.phase}: {o.asserted}" for run in runs for o in run.outcomes}),
        broken=sorted(found),
        found=found,
        discards=max(_speed(run).discards for run in runs),
        costs=[_cost(run) for run in runs],
        seconds=sum(sum(run.seconds.values()) for run in runs),
    )


def _owners(runs: Sequence[VariantRun]) -> list[OwnerLeak]:
    by_run: list[dict[str, int]] = []
    reasons: dict[str, list[str]] = {}
    for run in runs:
        blocks: dict[str, int] = {}
        for leak in run.leaks:
            snapshot = leak.owner.snapshot
            blocks[snapshot] = blocks.get(snapshot, 0) + leak.blocks
            if leak.owner.reason not in reasons.setdefault(snapshot, []):
                reasons[snapshot].append(leak.owner.reason)
        by_run.append(blocks)
    found = [
        OwnerLeak(
            snapshot=snapshot,
            reasons=found_reasons,
            least_blocks=min(blocks.get(snapshot, 0) for blocks in by_run),
            most_blocks=max(blocks.get(snapshot, 0) for blocks in by_run),
        )
        for snapshot, found_reasons in reasons.items()
    ]
    return sorted(found, key=lambda each: (-each.most_blocks, each.snapshot))


def _speed(run: VariantRun) -> Speed:
    assert run.speed is not None, "only the report of thinsim reproduce has none"
    return run.speed


def _cost(run: VariantRun) -> DiscardCost:
    speed = _speed(run)
    reference = speed.reference
    units = reference.units if reference is not None else 0
    return DiscardCost(
        seconds=speed.discard_seconds,
        processor=speed.discard_processor_seconds,
        delayed=speed.discard_delayed_seconds,
        reference_processor=reference.processor / units if reference is not None and units else 0.0,
        reference_waited=reference.waited / units if reference is not None and units else 0.0,
    )

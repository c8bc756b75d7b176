"""An `AssertStep` compares the values in a scenario file with the measured ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from thinsim.did_you_mean import unknown_name
from thinsim.measure.attribution import Leak, reason_words
from thinsim.measure.sample import StepSample
from thinsim.scenario.file.known_snapshots import KnownSnapshots, Refusal
from thinsim.scenario.file.steps.step import AssertOutcome, RunningVariant, Step
from thinsim.scenario.file.values import AmountLimits, Bound
from thinsim.thin.status import parse_pool_status
from thinsim.units import format_size


@dataclass(frozen=True, slots=True)
class VariantState:
    """A `VariantState` holds the values that asserts check; *pool_mode* and *thin_devices* are current."""

    samples: Sequence[StepSample]
    leaks: Sequence[Leak]
    block_bytes: int
    snapshots: Sequence[str]
    thin_devices: int
    pool_mode: str


class AssertStep(Step):
    """Compare measurements with limits.

    An assert that does not hold is reported at the end, with exit status 4; the run goes on. An amount is a
    size that must be met exactly, or a table of limits.
    """

    do: Literal["assert"]
    why: str = ""
    """A remark that is printed with the outcome."""
    leaked: Bound | None = None
    """Bytes allocated on the host now that no mapping of the pool needs."""
    leaked_by: list[str] | None = None
    """The snapshots that leak: exactly these."""
    reasons: list[str] | None = None
    """The reasons that all leaks have together: exactly these words."""
    host_allocated: Bound | None = None
    """Bytes that the host has allocated for the data file now."""
    host_freed: Bound | None = None
    """Bytes that the host has freed in this phase so far."""
    pool_used: Bound | None = None
    """Bytes in used data blocks of the pool now."""
    pool_freed: Bound | None = None
    """Bytes in data blocks that the pool has freed in this phase so far."""
    punches: Bound | None = None
    """Hole punches that the store has recorded in this phase so far."""
    thin_devices: int | None = None
    """The number of thin ids in the pool."""
    snapshots: list[str] | None = None
    """The snapshots in the snapshotter's store: exactly these."""
    pool_mode: Literal["rw", "ro", "out_of_data_space"] | None = None
    """The mode that the pool's status shows."""

    async def take(self, run: RunningVariant) -> None:
        session = run.session
        shape = session.rig.shape
        measured = VariantState(
            samples=session.samples,
            leaks=session.leaks(),
            block_bytes=shape.block_bytes,
            snapshots=await session.snapshots() if self.snapshots is not None else (),
            thin_devices=len(await session.rig.mappings()),
            pool_mode=parse_pool_status(await session.rig.dm.status(shape.name)).mode,
        )
        run.outcomes.extend(_outcomes(self, session.phase, measured))

    def problems(self, phases: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield a problem if nothing is asserted, or if a phase or a reason does not exist."""
        if not self.model_fields_set - {"do", "only", "why"}:
            yield (), "asserts nothing"
        for name, limits in self:
            phase = getattr(limits, "same_as", None)
            if phase is not None and phase not in phases:
                yield (name, "same_as"), unknown_name("earlier phase", phase, phases)
        known = list(reason_words().values())
        for word in self.reasons or ():
            if word not in known:
                yield ("reasons",), unknown_name("reason", word, known)

    @property
    def needs_snapshotter(self) -> bool:
        return self.snapshots is not None

    def doubts(self, known: KnownSnapshots) -> Iterator[Refusal]:
        """Yield each snapshot that no step up to here makes."""
        for key, names in (("snapshots", self.snapshots), ("leaked_by", self.leaked_by)):
            for name in names or ():
                if not known.existed(name):
                    yield Refusal((key,), unknown_name("snapshot", name, sorted(known.ever)))


def _outcomes(step: AssertStep, phase: str, measured: VariantState) -> Iterator[AssertOutcome]:
    """Yield the outcome of each thing that *step* asserts in *phase*."""
    for name, wanted in step:
        if wanted is None or name in ("do", "only", "why"):
            continue
        if isinstance(wanted, AmountLimits):
            yield _bounded(name, wanted, phase, measured, step.why)
            continue
        found = _found(name, measured)
        held = found == (sorted(wanted) if isinstance(wanted, list) else wanted)
        yield AssertOutcome(phase, f"{name} = {_words(wanted)}", _words(found), held, step.why)


def _bounded(name: str, limits: AmountLimits, phase: str, measured: VariantState, why: str) -> AssertOutcome:
    found = _quantity(name, phase, measured)
    words, held, text = [], True, _amount(name, found)
    margin = f" ± {_amount(name, limits.within)}" if limits.within else ""
    if limits.equal is not None:
        words.append(f"= {_amount(name, limits.equal)}{margin}")
        held = held and abs(found - limits.equal) <= limits.within
    if limits.same_as is not None:
        # The old value differs from run to run, so it is no part of the text of the assert.
        then = _quantity(name, limits.same_as, measured)
        words.append(f"as after {limits.same_as!r}{margin}")  # words: quoted
        text += f", then {_amount(name, then)}"
        held = held and abs(found - then) <= limits.within
    if limits.at_least is not None:
        words.append(f">= {_amount(name, limits.at_least)}")
        held = held and found >= limits.at_least
    if limits.at_most is not None:
        words.append(f"<= {_amount(name, limits.at_most)}")
        held = held and found <= limits.at_most
    return AssertOutcome(phase, f"{name} {' and '.join(words)}", text, held, why)


def _quantity(name: str, phase: str, measured: VariantState) -> int:
    of_phase = [sample for sample in measured.samples if sample.phase == phase]
    now = (of_phase or measured.samples)[-1]  # a phase of asserts alone has no sample of its own
    match name:
        case "leaked":
            return now.leaked
        case "host_allocated":
            return now.host_allocated
        case "pool_used":
            return now.pool_used_blocks * measured.block_bytes
        case "host_freed":
            return sum(sample.host_freed for sample in of_phase)
        case "pool_freed":
            return sum(sample.pool_freed for sample in of_phase)
        case "punches":
            return sum(sample.ledger_punches for sample in of_phase)
    raise AssertionError(f"no quantity {name}")


def _found(name: str, measured: VariantState) -> object:
    match name:
        case "leaked_by":
            return sorted({leak.owner.snapshot for leak in measured.leaks})
        case "reasons":
            words = reason_words()
            return sorted({words.get(leak.owner.reason, leak.owner.reason) for leak in measured.leaks})
        case "snapshots":
            return sorted(measured.snapshots)
        case "thin_devices":
            return measured.thin_devices
        case "pool_mode":
            return measured.pool_mode
    raise AssertionError(f"no value {name}")


def _amount(name: str, value: int) -> str:
    return str(value) if name == "punches" or value < 1024 else f"{format_size(value)} ({value})"


def _words(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)

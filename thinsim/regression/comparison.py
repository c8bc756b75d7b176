"""`compare_with_baseline` lists every change of the runs against their baseline, with its kind. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from thinsim.regression.baseline import Baseline, ScenarioBaseline, VariantBaseline
from thinsim.regression.leaks import compare_leaks
from thinsim.regression.matching import match_scenarios, match_variants
from thinsim.regression.speed import (
    SpeedComparison,
    SpeedVerdict,
    compare_speed,
    not_compared,
)
from thinsim.regression.tolerances import Tolerances
from thinsim.report.environment import data_plane_text
from thinsim.units import format_size

SPEED_CIRCUMSTANCES = ("kernel", "processor", "file system", "python")
"""Times of two runs that differ in one of these are not compared."""


class ChangeKind(StrEnum):
    """A `ChangeKind` names the kind of a change."""

    LEAK = "leak"
    """A snapshot leaks more data blocks than in any round of the baseline."""
    BROKEN = "assert"
    """An assert fails that held in the baseline or is not in it."""
    SLOWER = "speed"
    """Discards cost more than the tolerance allows."""
    NEW = "new"
    """The baseline does not have the scenario or the variant."""
    MISSING = "missing"
    """The baseline has the scenario or the variant, and it did not run."""
    INCOMPARABLE = "incomparable"
    """The leaks were measured under other conditions."""
    BETTER = "better"
    """The run is better than the baseline, which should be saved again."""
    CANT_TELL = "can't tell"
    """The rounds differ too much for a verdict on speed. This is no failure."""
    NOTE = "note"
    """Something else that helps to understand the result."""


FAILING_KINDS = (
    ChangeKind.LEAK,
    ChangeKind.BROKEN,
    ChangeKind.SLOWER,
    ChangeKind.NEW,
    ChangeKind.MISSING,
    ChangeKind.INCOMPARABLE,
)
"""The kinds that make a comparison fail, unless they are allowed; the most serious first."""
ALLOWABLE_KINDS = (ChangeKind.NEW, ChangeKind.MISSING, ChangeKind.INCOMPARABLE)
"""A command can allow these kinds."""


@dataclass(frozen=True, slots=True)
class Change:
    """A `Change` describes one change. *variant* is empty for a change of the whole scenario."""

    kind: ChangeKind
    variant: str
    text: str
    fails: bool = False
    """True if the change makes the comparison fail."""

    @property
    def mark(self) -> str:
        """Return the kind, and whether the command allowed it."""
        allowed = self.kind in ALLOWABLE_KINDS and not self.fails
        return f"{self.kind} (allowed)" if allowed else str(self.kind)


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """A `VariantComparison` holds one variant's measurements now and in the baseline."""

    now: VariantBaseline
    then: VariantBaseline | None
    speed: SpeedComparison
    changes: tuple[Change, ...]
    leaks_compared: bool
    """False if the leaks were not compared."""

    def failures(self, kind: ChangeKind) -> list[Change]:
        """Return the changes of *kind* that make the comparison fail."""
        return [change for change in self.changes if change.kind is kind and change.fails]


@dataclass(frozen=True, slots=True)
class ScenarioComparison:
    """A `ScenarioComparison` holds one scenario's measurements now and in the baseline."""

    now: ScenarioBaseline
    then: ScenarioBaseline | None
    variants: tuple[VariantComparison, ...]
    own_changes: tuple[Change, ...]
    """The changes of the whole scenario, and those of variants that did not run."""

    @property
    def changes(self) -> list[Change]:
        """Return all changes."""
        return [*self.own_changes, *(change for each in self.variants for change in each.changes)]

    @property
    def failures(self) -> list[Change]:
        """Return the changes that make the comparison fail."""
        return [change for change in self.changes if change.fails]

    @property
    def undecided(self) -> bool:
        """Return whether more rounds could change a verdict on speed."""
        return any(not each.speed.decided for each in self.variants)


@dataclass(frozen=True, slots=True)
class ComparisonRules:
    """`ComparisonRules` are the tolerances of a comparison and the kinds of changes that are allowed."""

    tolerances: Tolerances = field(default_factory=Tolerances)
    allowed: Collection[ChangeKind] = ()


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """A `ComparisonResult` holds all comparisons of a command, and the scenarios that have none."""

    comparisons: Sequence[ScenarioComparison]
    failed: Mapping[str, str]
    """The reasons why scenarios could not run, by name."""
    missing: Sequence[str]
    """The scenarios that were allowed to be missing, by name."""
    tolerances: Tolerances
    interrupted: bool = False
    """True if a signal ended the rounds before the last one."""

    @property
    def data_planes(self) -> list[str]:
        """Return the sentences about the data planes of the runs, each once."""
        return list(
            dict.fromkeys(text for each in self.comparisons for text in data_plane_text(each.now.environment))
        )

    @property
    def differences(self) -> list[str]:
        """Return the differences from the environments of the baseline in words."""
        pairs = [(each.now, each.then) for each in self.comparisons if each.then is not None]
        return list(
            dict.fromkeys(
                text
                for now, then in pairs
                for text in differing_environment(now.environment, then.environment)
            )
        )


def compare_with_baseline(
    now: Sequence[ScenarioBaseline],
    stored: Baseline,
    rules: ComparisonRules,
    beside: Mapping[str, ScenarioBaseline] | None = None,
    in_place: Collection[str] = (),
) -> list[ScenarioComparison]:
    """Compare scenarios with those of *stored*.

    *beside* has, by key, what another installation measured in the same rounds; it replaces the stored costs.
    *in_place* has the keys of stored scenarios that still exist, so that no other file is taken for them.
    """
    matched, _ = match_scenarios(now, stored.scenarios, in_place)
    return [
        compare_scenario(one, other, rules, (beside or {}).get(one.key))
        for one, other in zip(now, matched, strict=True)
    ]


def compare_scenario(
    now: ScenarioBaseline,
    then: ScenarioBaseline | None,
    rules: ComparisonRules,
    beside: ScenarioBaseline | None = None,
) -> ScenarioComparison:
    """Compare one scenario with its baseline; None if the baseline does not have it."""
    keys = [now.key] if then is None else [now.key, then.key]
    judge = _Judge(now, then, beside, replace(rules, tolerances=rules.tolerances.of(*keys)))
    if then is None:
        new = judge.change(ChangeKind.NEW, "", "the baseline does not have this scenario")
        return ScenarioComparison(now, None, tuple(judge.new(each) for each in now.variants), (new,))
    matched, rest = match_variants(now.variants, then.variants)
    variants = tuple(judge.variant(one, other) for one, other in zip(now.variants, matched, strict=True))
    missing = [
        judge.change(ChangeKind.MISSING, each.name, "the baseline has this variant, and it did not run")
        for each in rest
    ]
    return ScenarioComparison(now, then, variants, (*judge.notes(), *missing))


def differing_environment(now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    """Return each difference of the environment in words, since it may explain other numbers."""
    return [
        f"{name}: {now.get(name, 'none')}, in the baseline {then.get(name, 'none')}"
        for name in {**now, **then}
        if now.get(name) != then.get(name)
    ]


@dataclass(frozen=True, slots=True)
class _Judge:
    """A `_Judge` compares the variants of one scenario."""

    now: ScenarioBaseline
    then: ScenarioBaseline | None
    beside: ScenarioBaseline | None
    rules: ComparisonRules

    def change(self, kind: ChangeKind, variant: str, text: str) -> Change:
        fails = kind in FAILING_KINDS and kind not in self.rules.allowed
        return Change(kind, variant, text, fails)

    def notes(self) -> Iterator[Change]:
        if self.then is None:
            return
        if self.then.key != self.now.key:
            yield self.change(ChangeKind.NOTE, "", f"in the baseline, this scenario is {self.then.key}")
        if self.then.sha256 != self.now.sha256:
            text = "the scenario's file has changed since the baseline was saved"
            yield self.change(ChangeKind.NOTE, "", text)

    def new(self, variant: VariantBaseline) -> VariantComparison:
        text = "the baseline does not have this variant"
        changes = [] if self.then is None else [self.change(ChangeKind.NEW, variant.name, text)]
        broken = (self.change(ChangeKind.BROKEN, variant.name, f"fails: {each}") for each in variant.broken)
        return VariantComparison(
            variant, None, not_compared("not in the baseline"), (*changes, *broken), leaks_compared=False
        )

    def variant(self, now: VariantBaseline, then: VariantBaseline | None) -> VariantComparison:
        if then is None or self.then is None:
            return self.new(now)
        changes = [self.change(ChangeKind.NOTE, now.name, text) for text in _renamed(now, then)]
        other = self._other_conditions(now, then)
        compared = not other or not then.most_blocks
        if compared:
            changes += self._leaks(now, then)
        else:
            changes.append(self.change(ChangeKind.INCOMPARABLE, now.name, f"{other}: not compared"))
        changes += self._asserts(now, then)
        speed = self._speed(now, then, other)
        kinds = {
            SpeedVerdict.SLOWER: ChangeKind.SLOWER,
            SpeedVerdict.FASTER: ChangeKind.BETTER,
            SpeedVerdict.CANT_TELL: ChangeKind.CANT_TELL,
        }
        if speed.surprises:
            changes.append(self.change(ChangeKind.NOTE, now.name, f"speed is not compared: {speed.reason}"))
        if speed.verdict in kinds:
            changes.append(self.change(kinds[speed.verdict], now.name, speed.reason))
        return VariantComparison(now, then, speed, tuple(changes), compared)

    def _leaks(self, now: VariantBaseline, then: VariantBaseline) -> Iterator[Change]:
        allowed = self.rules.tolerances.leak.blocks(then.most_blocks, self.now.block_bytes)
        found = compare_leaks(now, then, block_bytes=self.now.block_bytes, tolerance=allowed)
        if found.worse:
            yield self.change(ChangeKind.LEAK, now.name, found.worse)
        if found.better:
            yield self.change(ChangeKind.BETTER, now.name, found.better)
        if found.tolerated:
            yield self.change(ChangeKind.NOTE, now.name, found.tolerated)

    def _asserts(self, now: VariantBaseline, then: VariantBaseline) -> Iterator[Change]:
        for broken in sorted(set(now.broken) - set(then.broken)):
            found = f"; found {now.found[broken]}" if broken in now.found else ""
            yield self.change(ChangeKind.BROKEN, now.name, f"fails now, held before: {broken}{found}")
        for held in sorted((set(then.broken) - set(now.broken)) & set(now.asserts)):
            yield self.change(ChangeKind.BETTER, now.name, f"holds now, failed before: {held}")
        for gone in sorted(set(then.asserts) - set(now.asserts)):
            yield self.change(ChangeKind.NOTE, now.name, f"the scenario does not assert any more: {gone}")

    def _speed(self, now: VariantBaseline, then: VariantBaseline, other: str) -> SpeedComparison:
        if not self.rules.tolerances.compare_speed:
            return not_compared("speed is not compared")
        if self.beside is not None:
            then = next((each for each in self.beside.variants if each.name == now.name), then)
        elif other:
            return not_compared(other)
        elif names := self._differing_circumstances():
            return not_compared(f"not the {names} of the baseline", surprises=True)
        if now.discards != then.discards:
            counts = f"{now.discards} devices were discarded, {then.discards} in the baseline"
            return not_compared(counts, surprises=True)
        if not now.discards:
            return not_compared("nothing was discarded")
        return compare_speed(now.costs, then.costs, self.rules.tolerances.speed)

    def _differing_circumstances(self) -> str:
        assert self.then is not None, "there is a baseline"
        here, there = self.now.environment, self.then.environment
        return " and ".join(name for name in SPEED_CIRCUMSTANCES if here.get(name) != there.get(name))

    def _other_conditions(self, now: VariantBaseline, then: VariantBaseline) -> str:
        """Return the conditions of the run that make numbers of blocks incomparable, or an empty text."""
        assert self.then is not None, "there is a baseline"
        if self.now.rig != self.then.rig:
            return f"this run was on rig {self.now.rig}, the baseline's on {self.then.rig}"
        if self.now.block_bytes != self.then.block_bytes:
            sizes = [format_size(each.block_bytes) for each in (self.now, self.then)]
            return f"data blocks of {sizes[0]}, in the baseline of {sizes[1]}"
        if now.fs_type != then.fs_type:
            return f"{now.fs_type} on the thin devices, in the baseline {then.fs_type}"
        return ""


def _renamed(now: VariantBaseline, then: VariantBaseline) -> Iterator[str]:
    if now.name != then.name:
        yield f"in the baseline, the name of this variant is {then.name}"
    elif now.settings != then.settings:
        yield "the snapshotter's settings have changed since the baseline was saved"

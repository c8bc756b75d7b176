"""`rehearse` follows the steps of a scenario without running them, and finds those that cannot succeed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from thinsim.scenario.file.document import Scenario, ScenarioPhase, Variant, steps_of
from thinsim.scenario.file.known_snapshots import KnownSnapshots, Refusal
from thinsim.scenario.file.loading import InvalidScenarioError, problem_lines
from thinsim.scenario.file.steps.step import Act, Step

FaultPlace = tuple[str | int, ...]

_DOWN = Refusal((), "the snapshotter is down since the crash: add a restart before this step")


@dataclass(frozen=True, slots=True)
class RehearsalFault:
    """A `RehearsalFault` is a mistake at *place* of the document. If it *stops*, the scenario ends there."""

    place: FaultPlace
    text: str
    stops: bool


def rehearse(scenario: Scenario, variants: Iterable[Variant]) -> list[RehearsalFault]:
    """Return the faults of the steps in the order of the file, each once for all *variants*."""
    chosen = list(variants)
    found: dict[tuple[FaultPlace, bool], tuple[str, list[str]]] = {}
    for variant in chosen:
        for fault in _of_variant(scenario, variant):
            # A repeated phase has the same mistake again, with another number in the name.
            _, names = found.setdefault((fault.place, fault.stops), (fault.text, []))
            if variant.name not in names:
                names.append(variant.name)
    return [
        RehearsalFault(place, text + _only_in(names, len(chosen)), stops)
        for (place, stops), (text, names) in sorted(found.items(), key=lambda each: _order(each[0][0]))
    ]


def require_possible(scenario: Scenario, text: str, source: str, variants: Iterable[Variant]) -> None:
    """Raise InvalidScenarioError for the steps of *variants* that cannot succeed; *text* is the file."""
    faults = [(fault.place, fault.text) for fault in rehearse(scenario, variants) if fault.stops]
    if faults:
        raise InvalidScenarioError(problem_lines(faults, text, source))


def remarks(scenario: Scenario) -> Iterator[tuple[FaultPlace, str]]:
    """Yield the variants that add nothing: without a step, or like an earlier one."""
    earlier: list[tuple[str, object]] = []
    for number, variant in enumerate(scenario.variant):
        steps = [step for phase in scenario.phase for step in steps_of(phase, variant.name)]
        if not steps:
            yield ("variant", number), f"no step runs in variant {variant.name!r}"
        same = (scenario.snapshotter_keys(variant), steps)
        for name, other in earlier:
            if other == same:
                text = f"variant {variant.name!r} has the settings and the steps of variant {name!r}"
                yield ("variant", number), text
                break
        earlier.append((variant.name, same))


def _of_variant(scenario: Scenario, variant: Variant) -> Iterator[RehearsalFault]:
    known = KnownSnapshots()
    for number, phase in enumerate(scenario.phase):
        for position, step in steps_of(phase, variant.name):
            known.where = f"phase {phase.name!r}, step {position + 1}"
            place = ("phase", number, "steps", position)
            for doubt in step.doubts(known):
                yield _fault(place, step, phase, doubt, stops=False)
            refusal = _DOWN if known.down and step.needs_snapshotter else step.refusal(known)
            if refusal is not None and not _is_expected(step, refusal):
                yield _fault(place, step, phase, refusal, stops=True)
            _follow(step, known, refusal)


def _is_expected(step: Step, refusal: Refusal) -> bool:
    fails = step.fails if isinstance(step, Act) else []
    return refusal.word in fails or bool(fails and refusal.in_files)


def _follow(step: Step, known: KnownSnapshots, refusal: Refusal | None) -> None:
    """Let *known* follow the step. A step that is expected to fail leaves doubts, unless it surely fails."""
    fails = isinstance(step, Act) and bool(step.fails)
    if refusal is not None and _is_expected(step, refusal) and not refusal.in_files:
        return
    before = known.copy()
    step.expect(known)
    if fails:
        known.doubt_since(before)


def _fault(
    place: Sequence[str | int], step: Step, phase: ScenarioPhase, refusal: Refusal, *, stops: bool
) -> RehearsalFault:
    word = getattr(step, "do", "")
    return RehearsalFault((*place, *refusal.keys), f"{word} in phase {phase.name!r}: {refusal.text}", stops)


def _only_in(names: Sequence[str], variants: int) -> str:
    if len(names) == variants:
        return ""
    return f" (in variant {', '.join(map(repr, names))})"


def _order(place: FaultPlace) -> tuple[int, int]:
    _, phase, _, position, *_ = place
    return int(phase), int(position)

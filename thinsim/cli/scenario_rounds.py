"""`run_rounds` runs several scenarios a few times, for ``thinsim baseline save`` and ``thinsim ci``."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from fuse_backing.errors import FuseBackingError
from thinsim.cli.output_console import notes_console
from thinsim.cli.run_apart import run_apart
from thinsim.cli.run_scenario import clean_up_after_killed_runs, run_for_comparison
from thinsim.errors import CombinedError, InvalidValueError, ThinsimError
from thinsim.machine.findings import Finding
from thinsim.regression.baseline import LIBRARY, digest, scenario_key
from thinsim.report.document import Report
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import AUTO, choose_rig, find_rig, probe_rigs
from thinsim.scenario.file.library import DIRECTORY, FoundScenario, find_scenario, library_names
from thinsim.vm.guest_script import SCRATCH

_EXPLAINED = (ThinsimError, FuseBackingError, OSError)
"""Errors with a message for the user; any other error is a bug."""
_NEW = (sys.executable, "-m", "thinsim")


@dataclass(frozen=True, slots=True)
class KeyedScenario:
    """A `KeyedScenario` is a scenario with its key in the baseline."""

    key: str
    found: FoundScenario

    @property
    def name(self) -> str:
        """Return the user's word for the scenario."""
        return self.found.name

    @property
    def title(self) -> str:
        """Return the scenario's title."""
        return self.found.scenario.title

    @property
    def sha256(self) -> str:
        """Return the digest of the scenario's file."""
        return digest(self.found.text)


@dataclass(slots=True)
class Rounds:
    """`Rounds` hold the reports of complete runs by the scenario's key, and the reasons of failures."""

    reports: dict[str, list[Report]] = field(default_factory=dict)
    """The reports of each scenario that ended in every one of its rounds."""
    old: dict[str, list[Report]] = field(default_factory=dict)
    """The reports of the same rounds by the other installation, if there is one."""
    failed: dict[str, str] = field(default_factory=dict)
    """The reasons of the failures, by the name of the scenario."""
    interrupted: bool = False
    """True if a signal ended the rounds before the last one."""

    def raise_failures(self) -> None:
        """Raise CombinedError, with one line per failed scenario, if there are any."""
        if self.failed:
            raise CombinedError(
                "\n".join(f"{name} could not run: {why}" for name, why in self.failed.items())
            )


def key_of(found: FoundScenario, baseline: Path) -> str:
    """Return the key of *found* in the file *baseline*, however its path was spelt."""
    return scenario_key(found.path.resolve(), baseline.resolve().parent, DIRECTORY.resolve())


def find_scenarios(names: Iterable[str], baseline: Path) -> tuple[list[KeyedScenario], dict[str, str]]:
    """Return the scenarios, and by name the reasons why others can't be read.

    InvalidValueError if two names are those of one scenario.
    """
    found: dict[str, FoundScenario] = {}
    failed: dict[str, str] = {}
    for name in names:
        try:
            one = find_scenario(name)
        except _EXPLAINED as error:
            failed[name] = str(error)
            continue
        first = found.setdefault(key_of(one, baseline), one)
        if first is not one:
            both = name if name == first.name else f"{first.name} and {name}"
            raise InvalidValueError(f"{both}: one scenario is named twice; name each scenario once")
    return [KeyedScenario(key, one) for key, one in found.items()], failed


def name_of(key: str, given: str, baseline: Path) -> str:
    """Return the name of a stored scenario by which it is found now: from its key, or as it was *given*."""
    if key.startswith(LIBRARY):
        return key.removeprefix(LIBRARY)
    path = Path(os.path.normpath(baseline.resolve().parent / key))
    moved = not path.is_file() and not Path(given).is_absolute() and Path(given).is_file()
    if moved or Path(given).resolve() == path.resolve():
        # A baseline that was moved without its scenarios still has the name that the user gave. An absolute
        # path might be that of another copy of the project.
        return given
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def in_place(key: str, baseline: Path) -> bool:
    """Return whether the stored scenario *key* still exists at its place, and was not moved."""
    if key.startswith(LIBRARY):
        return key.removeprefix(LIBRARY) in library_names()
    return (baseline.resolve().parent / key).is_file()


class RigChooser:
    """A `RigChooser` chooses the rig of each scenario; the machine is probed once."""

    def __init__(self, wanted: str, directory: Path | None) -> None:
        """Probe the machine. InvalidValueError if the rig that the user *wanted* is in a guest."""
        record = None if wanted == AUTO else find_rig(wanted)
        if record is not None and record.running is None:
            # A guest per run would boot for minutes, and its times would be compared with this machine's.
            raise InvalidValueError(
                f"--rig {wanted} boots a guest per run; run the whole command in one guest: "
                "thinsim vm run --share . -- thinsim ... "
                f"--rig {record.inside} --dir {SCRATCH}"
            )
        self._wanted = wanted
        self._findings: list[Finding] = probe_rigs(directory or Path(tempfile.gettempdir()))
        if wanted != AUTO:
            choose_rig(wanted, self._findings)

    def choose(self, stored: str | None) -> RigRecord:
        """Return the wanted rig; by default the one of the baseline, *stored*, or else the best.

        EnvironmentLacksError lists what the machine lacks for it.
        """
        return choose_rig(stored if stored and self._wanted == AUTO else self._wanted, self._findings).rig


@dataclass(frozen=True, slots=True)
class RoundsPlan:
    """A `RoundsPlan` states how often scenarios run, and where."""

    rounds: int
    """The number of rounds of each scenario."""
    most_rounds: int
    """The largest number of rounds of a scenario whose verdict needs more."""
    directory: Path | None
    """The directory for the files of the runs; None for the temporary directory."""
    against: Sequence[str] = ()
    """The command of another installation of thinsim, which runs each scenario in each round as well."""


def run_rounds(
    scenarios: Sequence[tuple[KeyedScenario, RigRecord]],
    plan: RoundsPlan,
    undecided: Callable[[str, Rounds], bool],
) -> Rounds:
    """Run every scenario once in each round, so that a temporary load on the machine affects all of them.

    A scenario for which *undecided* is true after the planned rounds gets more of them. A scenario that
    fails is left out of the next rounds. After a signal, the rounds are those that were complete.
    """
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    rounds = Rounds({each.key: [] for each, _ in scenarios}, {each.key: [] for each, _ in scenarios})
    try:
        for number in range(1, plan.most_rounds + 1):
            for each, rig in scenarios:
                if each.name in rounds.failed:
                    continue
                if number > plan.rounds and not undecided(each.key, rounds):
                    continue
                of = f"{number} of {plan.rounds}" if number <= plan.rounds else f"{number}, to be certain"
                notes.print(f"round {of}: {each.name}", highlight=False, markup=False)
                _run(each, rig, plan, rounds, swapped=number % 2 == 0)
    except (click.Abort, KeyboardInterrupt):
        rounds.interrupted = True
    for each, _ in scenarios:
        if each.name in rounds.failed or not rounds.reports[each.key]:
            rounds.failed.setdefault(each.name, "interrupted before its first round ended")
            del rounds.reports[each.key]
    return rounds


def _run(each: KeyedScenario, rig: RigRecord, plan: RoundsPlan, rounds: Rounds, *, swapped: bool) -> None:
    try:
        if not plan.against:
            report = run_for_comparison(each.found, rig, notes_console(), plan.directory)
        else:
            # The two take turns in being first, and both are programs of their own.
            order: Mapping[str, Sequence[str]] = {"old": plan.against, "new": _NEW}
            found = {
                which: run_apart(order[which], each.found.path, rig.name, plan.directory)
                for which in (("new", "old") if swapped else ("old", "new"))
            }
            report = found["new"].model_copy(update={"name": each.name})
            rounds.old[each.key].append(found["old"])
        rounds.reports[each.key].append(report)
    except _EXPLAINED as error:
        rounds.failed[each.name] = str(error)

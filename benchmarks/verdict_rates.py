"""``python -m benchmarks.verdict_rates`` counts how often ``thinsim ci`` is right.

It saves a baseline of a scenario, then runs thinsim ci many times: with nothing changed, with discards that
cost half as much again, and with a store that keeps one data block. Beside some of the runs, one program per
processor takes all the time that it can get. Each run is a program of its own, as in a CI job.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from thinsim.cli.main import status_of
from thinsim.cli.statuses import DONE, LEAKED, SLOWER
from thinsim.regression.baseline import read_baseline
from thinsim.scenario.file.interception import Interception
from thinsim.scenario.file.library import find_scenario

SCENARIO = "container-exit"
VARIANT = "discard_blocks=true"
STEP = '    { do = "remove", key = "container" },\n'
SLOWER_BY = 0.5
"""The part of a discard's cost that a planted slow-down adds."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class VerdictCase:
    """A `VerdictCase` names what is planted, and the verdict that is right."""

    name: str
    plant: str = ""
    right: int = DONE
    quiet: bool = True
    """True if the case is also measured on a quiet machine."""
    options: Sequence[str] = ()
    share: float = 1.0
    """The part of the runs that the case gets. A quiet machine gets a tenth of them."""


SPEED_CASES = (
    VerdictCase("nothing changed"),
    VerdictCase("discards take 1.5 times as much processor time", "work", SLOWER),
    VerdictCase("discards wait half as long again", "wait", SLOWER, share=0.4),
    VerdictCase("the store keeps one data block", "block", LEAKED, quiet=False, share=0.2),
)
LEAK_CASES = (
    VerdictCase("nothing changed", quiet=False, options=("--no-speed", "--rounds", "1")),
    VerdictCase(
        "the store keeps one data block", "block", LEAKED, False, ("--no-speed", "--rounds", "1"), 0.25
    ),
)
"""On a rig with mounts a run takes longer, so that one round has to do; leaks need no more."""


@click.group()
def main() -> None: ...


@main.command()
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True)
@click.option("--rig", type=click.Choice(["process", "emulated"]), default="process", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
@click.option("--only", multiple=True, help="Measure only the cases whose names contain this.")
@click.option(
    "--at-once",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Runs at once on the busy machine.",
)
def count(runs: int, rig: str, json_path: Path | None, only: tuple[str, ...], at_once: int) -> None:
    """Count the verdicts of each case over RUNS runs; the cases take turns."""
    cases = [
        (case, busy)
        for case in (SPEED_CASES if rig == "process" else LEAK_CASES)
        for busy in ((True, False) if case.quiet else (True,))
        if not only or any(word in case.name for word in only)
    ]
    tallies = {key: VerdictTally() for key in range(len(cases))}
    with tempfile.TemporaryDirectory(prefix="thinsim-rates-") as place:
        first = VerdictBench(Path(place) / "0", rig)
        first.prepare()
        benches = [first, *(first.copied(Path(place) / str(number)) for number in range(1, at_once))]
        try:
            for number in range(0, runs, at_once):
                for key, (case, busy) in enumerate(cases):
                    wanted = runs * case.share * (1 if busy else 0.1)
                    for outcome in _outcomes(benches, case, busy, min(at_once, math.ceil(wanted - number))):
                        tallies[key].add(*outcome, case.right)
                        where = "busy" if busy else "quiet"
                        click.echo(f"{number + 1:3} {where}, {case.name}: {outcome[0]}", err=True)
        except KeyboardInterrupt:
            click.echo("interrupted: the counts are those of the runs so far", err=True)
    found = [
        {"rig": rig, "case": case.name, "busy": busy, **tallies[key].to_json()}
        for key, (case, busy) in enumerate(cases)
    ]
    for each in found:
        where = "busy " if each["busy"] else "quiet"
        click.echo(f"{where} {each['case']:50} right {each['right']} of {each['runs']}: {each['statuses']}")
    if json_path is not None:
        json_path.write_text(json.dumps(found, indent=1) + "\n")


def _outcomes(
    benches: Sequence["VerdictBench"], case: VerdictCase, busy: bool, runs: int
) -> Iterator[tuple[int, int]]:
    """Yield the status and the rounds of *runs* runs: at once on the busy machine, else one by one."""
    if not busy:
        yield from (bench.compare(case) for bench in benches[: max(runs, 0)])
        return
    if runs > 0:
        with burning(), ThreadPoolExecutor(runs) as threads:
            yield from list(threads.map(lambda bench: bench.compare(case), benches[:runs]))


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--plant", type=click.Choice(["work", "wait"]), required=True)
@click.option("--seconds", type=float, required=True)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def planted(plant: str, seconds: float, words: tuple[str, ...]) -> None:
    """Run ``thinsim WORDS`` with discards that work or wait for SECONDS more."""
    original = Interception.around
    loops = loops_of(seconds)

    async def around(
        self: Interception, act: str, device: str, call: Callable[[], Awaitable[_Result]]
    ) -> _Result:
        async def slower() -> _Result:
            result = await call()
            if plant == "work":
                work(loops)
            else:
                time.sleep(seconds)
            return result

        return await original(self, act, device, slower if act == "discard" else call)

    Interception.around = around  # type: ignore[method-assign]
    sys.exit(status_of(list(words)))


class VerdictTally:
    """A `VerdictTally` counts the verdicts of one case."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.rounds: list[int] = []
        self.right = 0

    def add(self, status: int, rounds: int, right: int) -> None:
        """Count a run."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.rounds.append(rounds)
        self.right += status == right

    def to_json(self) -> Mapping[str, Any]:
        """Return the counts; *rounds* is the mean number of rounds."""
        runs = sum(self.statuses.values())
        return {
            "runs": runs,
            "right": self.right,
            "rounds": round(sum(self.rounds) / max(runs, 1), 1),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
        }


@dataclass(slots=True)
class VerdictBench:
    """A `VerdictBench` holds a scenario with its baseline, and runs ``thinsim ci`` on it."""

    directory: Path
    rig: str
    extra: float = 0.0
    """Seconds that a planted slow-down adds to each discard."""
    keeps: str = ""
    """The scenario with a store that keeps one block."""

    def copied(self, directory: Path) -> "VerdictBench":
        """Copy the scenario and its baseline into another directory."""
        shutil.copytree(self.directory, directory)
        return VerdictBench(directory, self.rig, self.extra, self.keeps)

    def prepare(self) -> None:
        """Save the baseline on the machine as it is, and find the block to keep."""
        self.directory.mkdir()
        text = find_scenario(SCENARIO).text
        self._scenario.write_text(text)
        self._thinsim("baseline", "save", self._scenario, "--rig", self.rig, "-o", self._baseline)
        stored = read_baseline(self._baseline.read_text(), str(self._baseline))
        (variant,) = (each for each in stored.scenarios[0].variants if each.name == VARIANT)
        costs = sorted(cost.seconds - cost.delayed for cost in variant.costs)
        self.extra = SLOWER_BY * costs[len(costs) // 2] / variant.discards
        self.keeps = self._with_kept_block(text)

    def compare(self, case: VerdictCase) -> tuple[int, int]:
        """Run ``thinsim ci`` for *case*; return its exit status and the number of rounds."""
        self._scenario.write_text(self.keeps if case.plant == "block" else find_scenario(SCENARIO).text)
        now = self.directory / "now.json"
        words = ["ci", "--quiet", "--baseline", str(self._baseline), "--json", str(now), *case.options]
        command = [sys.executable, "-m", "thinsim", *words]
        if case.plant in ("work", "wait"):
            plant = ["planted", "--plant", case.plant, "--seconds", str(self.extra)]
            command = [sys.executable, "-m", "benchmarks.verdict_rates", *plant, "--", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (DONE, LEAKED, SLOWER):
            raise click.ClickException(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        if done.returncode != case.right:
            click.echo(done.stdout, err=True)
        return done.returncode, read_baseline(now.read_text(), str(now)).scenarios[0].rounds

    @property
    def _scenario(self) -> Path:
        return self.directory / "exit.toml"

    @property
    def _baseline(self) -> Path:
        return self.directory / "baseline.json"

    def _with_kept_block(self, text: str) -> str:
        """Return the scenario with a fault: the store keeps the first data block of the shortest punch."""
        report = self.directory / "report.json"
        self._thinsim("run", self._scenario, "--rig", self.rig, "--repeatable", "--json", report)
        document = json.loads(report.read_text())
        block = document["pool"]["block_bytes"]
        (run,) = (each for each in document["runs"] if each["name"] == VARIANT)
        punches = [each for each in run["events"] if each["freed"] >= block]
        shortest = min(punches, key=lambda each: each["length"])
        freed = shortest["length"] - block
        action = f'action = "partial", bytes = {freed}' if freed else 'action = "lie"'
        plan = f'{{ operation = "punch", offset = {shortest["offset"]}, length = 1, {action} }}'
        faults = f'    {{ do = "fault", only = "{VARIANT}", plan = [{plan}] }},\n'
        return text.replace(STEP, faults + STEP + f'    {{ do = "fault", only = "{VARIANT}" }},\n')

    def _thinsim(self, *words: str | Path) -> None:
        subprocess.run([sys.executable, "-m", "thinsim", *map(str, words)], check=True, capture_output=True)


@contextmanager
def burning() -> Iterator[None]:
    """Run one program per processor that uses all of it."""
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)
    ]
    try:
        for number, burner in enumerate(burners):
            os.sched_setaffinity(burner.pid, {number})
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def loops_of(seconds: float) -> int:
    """Return the loops of ``work`` that take *seconds* of processor time now."""
    loops = 20_000
    best = min(_timed(loops) for _ in range(5))
    return max(1, round(loops * seconds / best))


def work(loops: int) -> None:
    """Use the processor."""
    total = 0
    for number in range(loops):
        total += number * number % 7


def _timed(loops: int) -> float:
    begun = time.thread_time()
    work(loops)
    return time.thread_time() - begun


if __name__ == "__main__":
    main()

"""A `BenchmarkRun` runs each contender in turn, round after round, and keeps what it has measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from fuse_backing.errors import FuseBackingError
from thinsim.benchmark.command_contender import CommandContender, run_shell
from thinsim.benchmark.contenders import Contender, Sizes
from thinsim.benchmark.costs import counted
from thinsim.benchmark.document import FORMAT, Benchmark, RoundLoad, Series, StepTimes
from thinsim.benchmark.figures import ROWS, figures_of, figures_of_command
from thinsim.benchmark.rounds import FigureRow, awake_processors, turned
from thinsim.benchmark.step_times import step_times, summary
from thinsim.benchmark.time_left import TimeLeft
from thinsim.errors import ProgramFailedError, ThinsimError, failures_of
from thinsim.machine.working_directory import working_directory
from thinsim.measure.machine_load import watched_load
from thinsim.report.environment import DATA_PLANE, environment
from thinsim.scenario.containerd.builds import containerd_facts, find_build
from thinsim.scenario.progress import Progress
from thinsim.scenario.reproduce import CORE, ReproductionRequest, run_reproduction
from thinsim.units import Bytes
from thinsim.workload.image.built import build_image

AnyContender = Contender | CommandContender


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """A `BenchmarkPlan` names what to measure. Files go into *directory*, by default the temporary one."""

    contenders: Sequence[AnyContender]
    sizes: Sequence[Sizes]
    rounds: int
    warm_up: int
    directory: Path | None
    command: str
    prepare: str | None = None
    """A shell command to run before each run of a contender."""

    @property
    def round_numbers(self) -> range:
        """Return the numbers of the rounds; negative ones warm up."""
        return range(-self.warm_up, self.rounds)

    def order(self, number: int) -> list[tuple[Sizes, AnyContender]]:
        """Return the runs of round *number* in their order."""
        by_name = {contender.name: contender for contender in self.contenders}
        return [(sizes, by_name[name]) for sizes in self.sizes for name in turned(list(by_name), number)]


@dataclass(slots=True)
class _OneRun:
    """A `_OneRun` has the measurements of one run of a contender."""

    figures: Mapping[FigureRow, float | None]
    steps: Mapping[str, Sequence[float]] = field(default_factory=dict)
    data_plane: str = ""


_Place = tuple[str, Sizes]
"""The name of a contender, and the sizes."""


@dataclass(slots=True)
class _Quiet:
    """A `_Quiet` passes on the steps of a run, but not its headings, since the rounds have their own."""

    progress: Progress
    printed: set[str] = field(default_factory=set)

    def say(self, text: str) -> None:
        if text not in self.printed:
            self.printed.add(text)
            self.progress.say(text)

    def warn(self, text: str) -> None:
        if text not in self.printed:
            self.printed.add(text)
            self.progress.warn(text)

    def setting(self, number: int, of: int, name: str) -> None: ...

    def step(self, phase: str, step: str) -> None:
        self.progress.step(phase, step)


class BenchmarkRun:
    """A `BenchmarkRun` measures, and returns the document of the complete rounds, however it ended.

    A document has all contenders in each round, so that ratios have pairs. The figures of an incomplete round
    are dropped.
    """

    def __init__(self, plan: BenchmarkPlan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._quiet = _Quiet(progress)
        self._rounds: list[Mapping[_Place, _OneRun]] = []
        self._loads: list[RoundLoad] = []
        self._environment: dict[str, str] = {}
        self._at = "the preparation"
        self._cut_short: str | None = None
        self._left = TimeLeft(
            [
                (contender.name, sizes.text)
                for number in plan.round_numbers
                for sizes, contender in plan.order(number)
            ]
        )

    @property
    def at(self) -> str:
        """Return the part that runs now or ran last, in words."""
        return self._at

    @property
    def document(self) -> Benchmark | None:
        """Return the measurements of the complete rounds, or None if there is none.

        With fewer rounds than planned, the reason is in its *cut_short*.
        """
        if not self._rounds:
            return None
        return Benchmark(
            kind="thinsim bench",
            format=FORMAT,
            command=self._plan.command,
            environment=self._environment | self._data_planes(),
            rounds=len(self._rounds),
            warm_up=self._plan.warm_up,
            contenders=[contender.name for contender in self._plan.contenders],
            sizes=[sizes.text for sizes in self._plan.sizes],
            cut_short=self._cut_short if len(self._rounds) < self._plan.rounds else None,
            series=list(self._series()),
            steps=list(self._steps()),
            loads=self._loads,
        )

    def _data_planes(self) -> dict[str, str]:
        """Return what served the requests of emulated thin devices, if any had them."""
        runs = (run for found in self._rounds for run in found.values())
        planes = dict.fromkeys(run.data_plane for run in runs if run.data_plane)
        return {DATA_PLANE: "; ".join(planes)} if planes else {}

    async def measure(self) -> None:
        """Run all rounds, and clean up. ProgramFailedError names the run that failed."""
        try:
            await self._measure()
        except Exception as error:
            failures = list(failures_of(error))
            if not all(isinstance(each, _EXPLAINED) for each in failures):
                self._cut_short = f"{self._at}: {type(failures[0]).__name__}"
                raise
            self._cut_short = f"{self._at}: {'; '.join(dict.fromkeys(map(str, failures)))}"
            raise ProgramFailedError(self._cut_short) from error
        except BaseException:  # trio.Cancelled, alone or in the groups of nurseries
            self._cut_short = f"interrupted in {self._at}"
            raise

    async def _measure(self) -> None:
        plan = self._plan
        async with working_directory(plan.directory, self._progress.say, keep=False) as (directory, _):
            self._environment = await trio.to_thread.run_sync(self._facts, directory)
            images = await _images(plan, directory, self._progress)
            with awake_processors():
                for number in plan.round_numbers:
                    with watched_load() as watch:
                        found = await self._round(number, images, directory)
                    if number >= 0:
                        self._rounds.append(found)
                        self._loads.append(RoundLoad(round=number + 1, load=watch.load))
                    if number == -plan.warm_up and self._left.runs:
                        self._progress.say(self._left.forecast)
            self._at = "the clean-up"

    def _facts(self, directory: Path) -> dict[str, str]:
        directories = {
            each.containerd: None
            for each in self._plan.contenders
            if isinstance(each, Contender) and each.subject != CORE
        }
        builds = [find_build(each) for each in directories]
        return environment(directory, containerd=containerd_facts(builds))

    async def _round(
        self, number: int, images: Mapping[Bytes, Path], directory: Path
    ) -> Mapping[_Place, _OneRun]:
        """Measure one round; a negative *number* is a warm-up."""
        found: dict[_Place, _OneRun] = {}
        runs = len(self._left.planned)
        for sizes, contender in self._plan.order(number):
            what = "warm-up" if number < 0 else f"round {number + 1}"
            self._at = f"{what}, {contender.name}, {sizes.text}"
            left = self._left.text
            self._progress.setting(
                runs - self._left.runs + 1, runs, f"{self._at}{', ' if left else ''}{left}"
            )
            begun = trio.current_time()
            if isinstance(contender, CommandContender):
                self._progress.step("running", contender.command)
            if self._plan.prepare is not None:
                await _prepare(self._plan.prepare, contender, sizes, directory)
            if isinstance(contender, CommandContender):
                cost = await run_shell(contender.command, _variables(contender, sizes, directory))
                found[contender.name, sizes] = _OneRun(figures_of_command(cost))
            else:
                found[contender.name, sizes] = await _run(contender, sizes, images, directory, self._quiet)
            self._left.add(trio.current_time() - begun)
        return found

    def _series(self) -> Iterator[Series]:
        """Yield a series per row, size and contender, of the rows for which any contender has a figure."""
        for row in ROWS:
            if all(run.figures[row] is None for found in self._rounds for run in found.values()):
                continue
            for sizes in self._plan.sizes:
                for contender in self._plan.contenders:
                    yield Series(
                        row=row.name,
                        unit=row.unit,
                        more_is_better=row.more_is_better,
                        contender=contender.name,
                        sizes=sizes.text,
                        figures=[found[contender.name, sizes].figures[row] for found in self._rounds],
                    )

    def _steps(self) -> Iterator[StepTimes]:
        for sizes in self._plan.sizes:
            for contender in self._plan.contenders:
                runs = [found[contender.name, sizes].steps for found in self._rounds]
                for kind in dict.fromkeys(kind for steps in runs for kind in steps):
                    times = [time for steps in runs for time in steps.get(kind, ())]
                    yield summary(kind, contender.name, sizes.text, times)


_EXPLAINED = (ThinsimError, FuseBackingError, OSError)
"""Errors with a message for the user; any other error is a bug."""


async def _prepare(command: str, contender: AnyContender, sizes: Sizes, directory: Path) -> None:
    try:
        await run_shell(command, _variables(contender, sizes, directory))
    except ProgramFailedError as error:
        raise ProgramFailedError(f"--prepare {error}") from error


def _variables(contender: AnyContender, sizes: Sizes, directory: Path) -> dict[str, str]:
    """Return the variables that a command of the user finds in its environment."""
    return {
        "THINSIM_BENCH_CONTENDER": contender.name,
        "THINSIM_BENCH_DIR": str(directory),
        "THINSIM_BENCH_DATA_SIZE": str(sizes.pool),
        "THINSIM_BENCH_IMAGE_SIZE": str(sizes.image),
        "THINSIM_BENCH_CONTAINER_SIZE": str(sizes.container),
    }


async def _images(plan: BenchmarkPlan, directory: Path, progress: Progress) -> Mapping[Bytes, Path]:
    """Build one image per size, so that all contenders import the same bytes."""
    if not any(isinstance(each, Contender) and each.rig.mounts for each in plan.contenders):
        return {}
    images = {}
    for size in dict.fromkeys(sizes.image for sizes in plan.sizes):
        progress.say(f"building an image of {size >> 20} MiB from this machine's files")
        path = directory / f"image-{size}.tar"
        await trio.to_thread.run_sync(_build, path, size)
        images[size] = path
    return images


def _build(path: Path, size: Bytes) -> None:
    build_image(path, size=size, progress=lambda done: trio.from_thread.check_cancelled())


async def _run(
    contender: Contender, sizes: Sizes, images: Mapping[Bytes, Path], directory: Path, progress: _Quiet
) -> _OneRun:
    request = ReproductionRequest(
        rig=contender.rig,
        settings=[contender.setting],
        subject=contender.subject,
        image=images[sizes.image] if contender.rig.mounts else None,
        container_bytes=sizes.container,
        data_size=sizes.pool,
        directory=directory,
        containerd=() if contender.containerd is None else (contender.containerd,),
    )
    async with counted() as costs:
        result = await run_reproduction(request, progress)
    run = result.runs[0]
    return _OneRun(figures_of(run, costs), step_times(run.samples), result.data_plane)

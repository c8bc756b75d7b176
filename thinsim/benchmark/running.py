"""`run_benchmark` runs the container lifecycle with each contender in turn, round after round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from fuse_backing.errors import FuseBackingError
from thinsim.benchmark.contenders import Contender, Sizes
from thinsim.benchmark.costs import counted
from thinsim.benchmark.document import FORMAT, Benchmark, Series
from thinsim.benchmark.figures import ROWS, figures_of
from thinsim.benchmark.rounds import FigureRow, awake_processors, turned
from thinsim.errors import ProgramFailedError, ThinsimError, failures_of
from thinsim.machine.working_directory import working_directory
from thinsim.report.environment import environment
from thinsim.scenario.progress import Progress
from thinsim.scenario.reproduce import CORE, ReproductionRequest, run_reproduction
from thinsim.units import Bytes
from thinsim.workload.image.built import build_image

_Figures = dict[tuple[FigureRow, str, Sizes], list[float | None]]


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """A `BenchmarkPlan` names what to measure. Files go into *directory*, by default the temporary one."""

    contenders: Sequence[Contender]
    sizes: Sequence[Sizes]
    rounds: int
    warm_up: int
    directory: Path | None
    command: str


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


async def run_benchmark(plan: BenchmarkPlan, progress: Progress) -> Benchmark:
    """Run all rounds, clean up, and return the measurements.

    If a run of the lifecycle fails, the document has the complete rounds before it, and the reason in
    *cut_short*. ThinsimError if there is no complete round.
    """
    taken: _Figures = {}
    names = [contender.name for contender in plan.contenders]
    rounds, cut_short = 0, None
    async with working_directory(plan.directory, progress.say, keep=False) as (directory, _):
        measuring = _Measuring(plan, directory, await _images(plan, directory, progress), progress)
        with awake_processors():
            for each_round in range(-plan.warm_up, plan.rounds):
                try:
                    found = await measuring.round(each_round)
                except _RunFailedError as failed:
                    if not rounds:
                        raise
                    cut_short = str(failed)
                    break
                if each_round < 0:
                    continue
                rounds += 1
                for key, figure in found.items():
                    taken.setdefault(key, []).append(figure)
        around = environment(directory, containerd=any(each.subject != CORE for each in plan.contenders))
    return Benchmark(
        kind="thinsim bench",
        format=FORMAT,
        command=plan.command,
        environment=around,
        rounds=rounds,
        warm_up=plan.warm_up,
        contenders=names,
        sizes=[sizes.text for sizes in plan.sizes],
        cut_short=cut_short,
        series=_series(taken, plan, names),
    )


_EXPLAINED = (ThinsimError, FuseBackingError, OSError)
"""Errors with a message for the user; any other error is a bug."""


class _RunFailedError(ProgramFailedError):
    """A `_RunFailedError` names the run of the lifecycle that failed."""


@dataclass(slots=True)
class _Measuring:
    """A `_Measuring` runs rounds in which all contenders take turns."""

    plan: BenchmarkPlan
    directory: Path
    images: Mapping[Bytes, Path]
    progress: Progress
    quiet: _Quiet = field(init=False)
    done: int = 0

    def __post_init__(self) -> None:
        self.quiet = _Quiet(self.progress)

    async def round(self, number: int) -> dict[tuple[FigureRow, str, Sizes], float | None]:
        """Measure one round; a negative *number* is a warm-up. _RunFailedError if a run fails."""
        by_name = {contender.name: contender for contender in self.plan.contenders}
        runs = (self.plan.warm_up + self.plan.rounds) * len(by_name) * len(self.plan.sizes)
        what = "warm-up" if number < 0 else f"round {number + 1}"
        found = {}
        for sizes in self.plan.sizes:
            for name in turned(list(by_name), number):
                self.done += 1
                self.progress.setting(self.done, runs, f"{what}, {name}, {sizes.text}")
                try:
                    figures = await _run(by_name[name], sizes, self.images, self.directory, self.quiet)
                except Exception as error:
                    failures = list(failures_of(error))
                    if not all(isinstance(each, _EXPLAINED) for each in failures):
                        raise
                    why = "; ".join(dict.fromkeys(map(str, failures)))
                    raise _RunFailedError(f"{what}, {name}, {sizes.text}: {why}") from error
                found.update({(row, name, sizes): figure for row, figure in figures.items()})
        return found


async def _images(plan: BenchmarkPlan, directory: Path, progress: Progress) -> Mapping[Bytes, Path]:
    """Build one image per size, so that all contenders import the same bytes."""
    if not any(contender.rig.mounts for contender in plan.contenders):
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
) -> dict[FigureRow, float | None]:
    request = ReproductionRequest(
        rig=contender.rig,
        settings=[contender.setting],
        subject=contender.subject,
        image=images[sizes.image] if contender.rig.mounts else None,
        container_bytes=sizes.container,
        data_size=sizes.pool,
        directory=directory,
    )
    async with counted() as costs:
        result = await run_reproduction(request, progress)
    return figures_of(result.runs[0], costs)


def _series(taken: _Figures, plan: BenchmarkPlan, names: Sequence[str]) -> list[Series]:
    """Return a series per row, size and contender, of the rows for which any contender has a figure."""
    return [
        Series(
            row=row.name,
            unit=row.unit,
            more_is_better=row.more_is_better,
            contender=name,
            sizes=sizes.text,
            figures=taken[row, name, sizes],
        )
        for row in ROWS
        if any(figure is not None for (of, _, _), figures in taken.items() if of == row for figure in figures)
        for sizes in plan.sizes
        for name in names
    ]

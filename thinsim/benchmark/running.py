"""The benchmark itself: the container lifecycle by each contender in turn, round after round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import trio

from thinsim.benchmark.contenders import Contender, Sizes
from thinsim.benchmark.costs import counted
from thinsim.benchmark.document import FORMAT, Benchmark, Series
from thinsim.benchmark.figures import ROWS, figures_of
from thinsim.benchmark.rounds import Row, awake_processors, turned
from thinsim.report.environment import environment
from thinsim.rig.working_directory import working_directory
from thinsim.scenario.image.built import build_image
from thinsim.scenario.reproduce import CORE, Request, reproduce
from thinsim.units import Bytes

_Figures = dict[tuple[Row, str, Sizes], list[float | None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; files go into *directory*, by default the temporary one."""

    contenders: Sequence[Contender]
    sizes: Sequence[Sizes]
    rounds: int
    warm_up: int
    directory: Path | None
    command: str


class Progress(Protocol):
    """Gets told what goes on."""

    def say(self, text: str) -> None:
        """Something outside the rounds."""

    def setting(self, number: int, of: int, name: str) -> None:
        """Run *number* begins."""

    def step(self, phase: str, step: str) -> None:
        """A step of it begins."""


@dataclass(slots=True)
class _Quiet:
    """Passes on the steps of one run, not its headings: those are the rounds'."""

    progress: Progress
    said: set[str] = field(default_factory=set)

    def say(self, text: str) -> None:
        if text not in self.said:
            self.said.add(text)
            self.progress.say(text)

    def setting(self, number: int, of: int, name: str) -> None: ...

    def step(self, phase: str, step: str) -> None:
        self.progress.step(phase, step)


async def run_benchmark(plan: Plan, progress: Progress) -> Benchmark:
    """Measure; nothing stays on the machine. ThinsimError when a run of the lifecycle fails."""
    taken: _Figures = {}
    quiet = _Quiet(progress)
    names = [contender.name for contender in plan.contenders]
    by_name = dict(zip(names, plan.contenders, strict=True))
    runs = (plan.warm_up + plan.rounds) * len(names) * len(plan.sizes)
    number = 0
    async with working_directory(plan.directory, progress.say, keep=False) as (directory, _):
        images = await _images(plan, directory, progress)
        with awake_processors():
            for each_round in range(-plan.warm_up, plan.rounds):
                for sizes in plan.sizes:
                    for name in turned(names, each_round):
                        number += 1
                        what = "warm-up" if each_round < 0 else f"round {each_round + 1}"
                        progress.setting(number, runs, f"{what}, {name}, {sizes.text}")
                        found = await _run(by_name[name], sizes, images, directory, quiet)
                        for row, figure in found.items():
                            if each_round >= 0:
                                taken.setdefault((row, name, sizes), []).append(figure)
        around = environment(directory, containerd=any(each.subject != CORE for each in plan.contenders))
    return Benchmark(
        kind="thinsim bench",
        format=FORMAT,
        command=plan.command,
        environment=around,
        rounds=plan.rounds,
        warm_up=plan.warm_up,
        contenders=names,
        sizes=[sizes.text for sizes in plan.sizes],
        series=_series(taken, plan, names),
    )


async def _images(plan: Plan, directory: Path, progress: Progress) -> Mapping[Bytes, Path]:
    """Build an image of each size once: all contenders import the same bytes."""
    if all(contender.rig == "process" for contender in plan.contenders):
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
) -> dict[Row, float | None]:
    request = Request(
        rig=contender.rig,
        settings=[contender.setting],
        subject=contender.subject,
        image=None if contender.rig == "process" else images[sizes.image],
        container_bytes=sizes.container,
        data_size=sizes.pool,
        directory=directory,
    )
    async with counted() as costs:
        result = await reproduce(request, progress)
    return figures_of(result.runs[0], costs)


def _series(taken: _Figures, plan: Plan, names: Sequence[str]) -> list[Series]:
    """Return every row that anybody has a figure for."""
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

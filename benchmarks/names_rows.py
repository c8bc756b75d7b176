"""`steps` lists the measurements of names: one system call each, and the life of a tree of small files."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.backing_rows import RowStep, TurnSizes, seconds_of
from benchmarks.file_tree import small_files
from benchmarks.names_contenders import OfferedDirectory
from thinsim.benchmark.rounds import FigureRow

SIZES = TurnSizes(sequential=1, large=0, files=2000, entries=100_000, tree_files=5000)
QUICK = TurnSizes(sequential=1, large=0, files=100, entries=1000, tree_files=100)

CREATE = FigureRow("create", "1/s")
STAT = FigureRow("stat", "1/s")
OPEN = FigureRow("open and close", "1/s")
RENAME = FigureRow("rename", "1/s")
UNLINK = FigureRow("unlink", "1/s")
LIST = FigureRow("readdir, first", "entries/s")
LIST_AGAIN = FigureRow("readdir, again", "entries/s")
UNTAR = FigureRow("untar", "files/s")
REMOVE = FigureRow("rm -rf", "files/s")


def steps(sizes: TurnSizes) -> Sequence[RowStep[OfferedDirectory]]:
    """Return every row's step. A step uses the files of the step before it, in the turn's own directory."""
    before, after = _names("f", sizes.files), _names("g", sizes.files)
    archive = small_files(sizes.tree_files)

    def created(offered: OfferedDirectory, turn: int) -> float:
        return _rate(before, _each_below(offered, turn, _create))

    def extracted(offered: OfferedDirectory, turn: int) -> float:
        place = _turn(offered, turn) / "tree"
        place.mkdir()
        return sizes.tree_files / seconds_of(["tar", "-x", "-f", str(archive), "-C", str(place)])

    def removed(offered: OfferedDirectory, turn: int) -> float:
        return sizes.tree_files / seconds_of(["rm", "-rf", str(_turn(offered, turn) / "tree")])

    def listed(offered: OfferedDirectory, _turn: int) -> float:
        began = time.perf_counter()
        with os.scandir(offered.served / "many") as entries:
            count = sum(1 for _ in entries)
        if count != sizes.entries:
            raise RuntimeError(f"a list has {count} entries instead of {sizes.entries}")
        return count / (time.perf_counter() - began)

    def filled(offered: OfferedDirectory, _turn: int) -> None:
        _fill(offered.host / "many", sizes.entries)

    return (
        RowStep(CREATE, created, lambda offered, turn: _turn(offered, turn).mkdir()),
        RowStep(STAT, lambda offered, turn: _rate(before, _each_below(offered, turn, os.stat))),
        RowStep(OPEN, lambda offered, turn: _rate(before, _each_below(offered, turn, _open))),
        RowStep(
            RENAME,
            lambda offered, turn: _rate(
                zip(before, after, strict=True), _each_pair_below(offered, turn, os.rename)
            ),
        ),
        RowStep(UNLINK, lambda offered, turn: _rate(after, _each_below(offered, turn, os.unlink))),
        # Some peers need a descriptor for each file that the kernel knows. So one tree exists at a time, and
        # the large directory comes last.
        RowStep(UNTAR, extracted, after=removed),
        RowStep(REMOVE, removed, extracted),
        RowStep(LIST, listed, filled),
        RowStep(LIST_AGAIN, listed, listed),
    )


def _turn(offered: OfferedDirectory, turn: int) -> Path:
    return offered.served / f"turn-{turn}"


def _names(letter: str, count: int) -> Sequence[str]:
    return [f"{letter}{number:06d}" for number in range(count)]


def _rate(arguments: Iterable[object], act: Callable[..., object]) -> float:
    """Return how often per second *act* is done, once for each argument."""
    each_once = list(arguments)
    began = time.perf_counter()
    for each in each_once:
        act(each)
    return len(each_once) / (time.perf_counter() - began)


def _each_below(
    offered: OfferedDirectory, turn: int, act: Callable[[str], object]
) -> Callable[[str], object]:
    place = f"{_turn(offered, turn)}/"
    return lambda name: act(place + name)


def _each_pair_below(
    offered: OfferedDirectory, turn: int, act: Callable[[str, str], object]
) -> Callable[[tuple[str, str]], object]:
    place = f"{_turn(offered, turn)}/"
    return lambda pair: act(place + pair[0], place + pair[1])


def _create(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def _open(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def _fill(directory: Path, count: int) -> None:
    """Make *count* empty files, unless a former turn has made them."""
    if directory.exists():
        return
    directory.mkdir()
    at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in _names("entry-", count):
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=at))
    finally:
        os.close(at)

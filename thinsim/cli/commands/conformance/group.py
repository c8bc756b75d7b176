"""``thinsim conformance`` compares each answer of the emulated dm-thin with the kernel's."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from fuse_backing.statuses import exit_status_help
from thinsim.cli.commands.conformance.heights import heights
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.quiet import note, quiet_option
from thinsim.cli.statuses import DIFFERS, DONE
from thinsim.conformance.answers.answer import Recording
from thinsim.conformance.answers.compare import Behaviour
from thinsim.conformance.answers.fidelity import write_fidelity
from thinsim.conformance.answers.recordings import (
    read_recordings,
    recorded_files,
    recordings_of,
    write_recordings,
)
from thinsim.conformance.answers.request_table import request_tables
from thinsim.conformance.answers.verdict import HistoryVerdict, verdict_to_json
from thinsim.conformance.duel import Duel
from thinsim.conformance.histories.campaign import campaign, read_history, write_history
from thinsim.conformance.histories.random_histories import random_history
from thinsim.conformance.subjects.subject import Side, kernel_release, subject
from thinsim.did_you_mean import unknown_name
from thinsim.errors import InvalidValueError
from thinsim.report.whole_words import WholeWords

_Item = TypeVar("_Item")

_SHOWN = 5
_LONGEST = 300

_OURS = click.Choice([Side.ENGINE.value, Side.EMULATED.value])
_KERNELS = click.Choice([Side.VM.value, Side.KERNEL.value])
_ONLY = click.option("--only", metavar="NAME", multiple=True, help="Use only this history; may be repeated.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ON = click.option(
    "--on",
    "side",
    type=_KERNELS,
    default=Side.VM.value,
    show_default=True,
    help="Choose the kernel. vm: a guest's. kernel: this machine's.",
)
_KERNEL = click.option(
    "--kernel", metavar="RELEASE", help="Boot this kernel in the guest: a release or an image."
)


_STATUS = exit_status_help({DIFFERS: "an answer differs and no known reason explains it"})


@click.group()
def conformance() -> None:
    """Compare the emulated dm-thin with the kernel's.

    Both carry out the same histories: tables, messages, writes, discards, reads, suspends, growth, a full
    pool, faults of the data device. The commands compare the texts and errnos, each field of the status
    lines, the contents, the discards at the data's loop device, the host's allocation, and the output of
    thin_check and thin_dump.
    """


@conformance.command(epilog=_STATUS)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--on",
    "sides",
    type=_OURS,
    multiple=True,
    default=[Side.ENGINE.value],
    show_default=True,
    help="Ask this part of thinsim; may be repeated. engine: the engine, in this process. "
    "emulated: the emulated device-mapper, through dmsetup and its nodes.",
)
@_ONLY
@_JSON
@click.option(
    "--fidelity",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the fidelity table to this file, followed by the text of FILE-by-hand.md.",
)
@quiet_option
def check(
    files: tuple[Path, ...],
    sides: tuple[str, ...],
    only: tuple[str, ...],
    as_json: bool,
    fidelity: Path | None,
) -> int:
    """Compare thinsim with the recorded answers of kernels.

    The recordings are FILES, or those that come with thinsim. This takes less than a minute and needs no
    kernel, no virtual machine and no root.
    """
    recordings = {
        path: _chosen({each.history.name: each for each in read_recordings(path)}, only)
        for path in files or recorded_files()
    }

    async def work() -> list[HistoryVerdict]:
        verdicts = []
        for path, expected in recordings.items():
            for side in map(Side, sides):
                asked = [each for each in expected if side is not Side.ENGINE or not each.history.needs_nodes]
                if asked:
                    verdicts.append(await _checked(path, asked, side))
        return verdicts

    verdicts = run_interruptible(work)
    if fidelity is not None:
        write_fidelity(fidelity, verdicts, request_tables(list(recordings.values()), verdicts))
    _report(verdicts, as_json)
    return _status(verdicts)


@conformance.command()
@_ON
@_KERNEL
@_ONLY
@click.option("--missing", is_flag=True, help="Record only the histories that the file lacks.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the answers to this file. Default: a file beside the other recordings.",
)
@quiet_option
def record(side: str, kernel: str | None, only: tuple[str, ...], missing: bool, to: Path | None) -> None:
    """Record a kernel's answers to the standard histories.

    thinsim conformance check compares thinsim with these answers. With --only or --missing, or after an
    interruption, the other histories in the file stay as they are. If the kernel does not end a step within
    three minutes, the error names the kernel functions in which it waits.
    """
    path = to or recordings_of(kernel_release(Side(side), kernel))
    known = {each.history.name: each for each in (read_recordings(path) if path.exists() else [])}
    histories = _chosen({each.name: each for each in campaign()}, only)
    if missing:
        histories = [each for each in histories if each.name not in known or known[each.name].history != each]

    async def work() -> None:
        made: list[Recording] = []
        try:
            async with subject(Side(side), note, kernel=kernel) as asked:
                for number, history in enumerate(histories, 1):
                    begun = time.monotonic()
                    made.append(await asked.record(history))
                    seconds = time.monotonic() - begun
                    done = f"{number}/{len(histories)} {history.name}"
                    note(f"{done}: {len(history.operations)} operations, {seconds:.0f} s")
        finally:
            if made:
                _keep(made, path, known)

    if histories:
        run_interruptible(work)
    else:
        click.echo(f"{path}: no history is missing", err=True)


@conformance.command("run", epilog=_STATUS)
@_ON
@_KERNEL
@click.option(
    "--against",
    type=_OURS,
    default=Side.ENGINE.value,
    show_default=True,
    help="Compare with this part of thinsim.",
)
@click.option(
    "--seeds",
    metavar="FIRST-LAST",
    default="1000-1009",
    show_default=True,
    help="Make a random history from each of these seeds.",
)
@click.option(
    "--operations",
    type=click.IntRange(1),
    default=130,
    show_default=True,
    help="Make histories of this many operations.",
)
@click.option("--faults", is_flag=True, help="Add faults of the data device.")
@click.option("--requests", is_flag=True, help="Add requests to write zeros. Needs --against emulated.")
@click.option(
    "--history",
    "paths",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Run this history instead of random ones; may be repeated.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    show_default=True,
    help="Write the shortened histories to this directory.",
)
@_JSON
@quiet_option
def run_command(
    side: str,
    kernel: str | None,
    against: str,
    seeds: str,
    operations: int,
    faults: bool,
    requests: bool,
    paths: tuple[Path, ...],
    keep: Path,
    as_json: bool,
) -> int:
    """Run random histories on a live kernel and on thinsim.

    If they differ on a history, the command shortens it as long as they still differ, and writes it to the
    directory of --keep. To add it to the standard histories, move it to
    thinsim/conformance/histories/kept.
    """
    histories = [read_history(path) for path in paths] or [
        random_history(seed, operations, faults=faults, requests=requests) for seed in _range(seeds)
    ]
    if Side(against) is Side.ENGINE and any(history.needs_nodes for history in histories):
        raise InvalidValueError("the engine has no block layer for requests: use --against emulated")

    async def work() -> HistoryVerdict:
        verdict = HistoryVerdict("", against)
        async with (
            subject(Side(against), note) as other,
            subject(Side(side), note, kernel=kernel) as asked,
        ):
            duel = Duel(asked, other, verdict)
            for history in histories:
                news = await duel.fight(history)
                note(f"{history.name}: {len(history.operations)} operations, {len(news)} differences")
                if news:
                    behaviour = news[0].comparison.behaviour
                    shrunk = await duel.shrink(history, news[0], note)
                    keep.mkdir(parents=True, exist_ok=True)
                    name = f"{history.name}-{behaviour.name.lower().replace('_', '-')}"
                    write_history(keep / f"{name}.json", replace(shrunk, name=name, traits=("shrunk",)))
                    click.echo(f"{keep / name}.json: {len(shrunk.operations)} operations", err=True)
        return verdict

    verdict = run_interruptible(work)
    _report([verdict], as_json)
    return _status([verdict])


async def _checked(path: Path, expected: Sequence[Recording], side: Side) -> HistoryVerdict:
    verdict = HistoryVerdict(expected[0].source, side)
    async with subject(side, note) as asked:
        for recording in expected:
            verdict.add(recording, await asked.record(recording.history))
    note(f"{path.name} on {side}: {verdict.operations} operations, {len(verdict.unexplained)} unexplained")
    return verdict


def _keep(made: Sequence[Recording], path: Path, known: Mapping[str, Recording]) -> None:
    """Write the new recordings and the known ones in the order of the campaign."""
    found = {**known, **{each.history.name: each for each in made}}
    kept = [found[each.name] for each in campaign() if each.name in found]
    write_recordings(path, kept)
    click.echo(f"{path}: {len(kept)} histories, {path.stat().st_size} bytes", err=True)


def _report(verdicts: Sequence[HistoryVerdict], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([verdict_to_json(verdict) for verdict in verdicts], indent=1))
        return
    for verdict in verdicts:
        table = Table(title=f"{verdict.kernel}: {verdict.subject}", box=None)
        for column in ("behaviour", "compared", "not equal"):
            table.add_column(column, justify="left" if column == "behaviour" else "right")
        for behaviour in Behaviour:
            if verdict.compared[behaviour]:
                count = str(verdict.compared[behaviour])
                table.add_row(behaviour, count, str(verdict.unequal(behaviour)))
        Console().print(WholeWords(table), crop=False)
        for difference in verdict.unexplained[:_SHOWN]:
            click.echo(
                f"{difference.history}, operation {difference.comparison.index}: {difference.operation}"
            )
            click.echo(f"  kernel:  {difference.comparison.expected[:_LONGEST]}")
            click.echo(f"  thinsim: {difference.comparison.found[:_LONGEST]}")
        click.echo(
            f"{verdict.histories} histories, {verdict.operations} operations, "
            f"{verdict.compared.total()} comparisons: {len(verdict.differences)} not equal, "
            f"{len(verdict.unexplained)} of these unexplained"
        )


def _status(verdicts: Sequence[HistoryVerdict]) -> int:
    return DIFFERS if any(verdict.unexplained for verdict in verdicts) else DONE


def _chosen(histories: Mapping[str, _Item], only: Sequence[str]) -> list[_Item]:
    for name in only:
        if name not in histories:
            raise InvalidValueError(unknown_name("history", name, sorted(histories)))
    return [each for name, each in histories.items() if not only or name in only]


def _range(text: str) -> range:
    first, dash, last = text.partition("-")
    try:
        found = range(int(first), int(last if dash else first) + 1)
    except ValueError:
        found = range(0)
    if not found:
        raise InvalidValueError(f"--seeds {text} is no range: write FIRST-LAST, such as 1000-1009")
    return found


conformance.add_command(heights)

"""``python -m thinsim.conformance.subjects.answering DIRECTORY`` answers histories with this kernel.

It runs in a guest (``subject.py``). A request is a file ``NAME.history``; its answer is ``NAME.answer``,
which appears as a whole. The process ends when a file ``end`` exists and no request is left. If a step never
ends, the answer names the step, and this kernel cannot be used any more.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import trio

from thinsim.conformance.answers.answer import recording_to_json
from thinsim.conformance.histories.history import history_from_json
from thinsim.conformance.subjects.nodes import NodesPlayer
from thinsim.conformance.subjects.subject import (
    ANSWER,
    END,
    HUNG,
    REQUEST,
    files_on_tmpfs,
    kernel_player,
    kernel_source,
)
from thinsim.machine.working_directory import working_directory

_POLL_SECONDS = 0.1
_STEP_SECONDS = 180.0
"""The limit for one step. dmsetup gets a third of it, a request less; a look reads every device."""

_FRAMES = 8


def main() -> None:
    """Serve the directory on the command line."""
    trio.run(answer_requests, Path(sys.argv[1]))


async def answer_requests(directory: Path) -> None:
    """Answer every request in *directory*, in the order of their names."""
    async with working_directory(files_on_tmpfs(), _print) as (files, journal):
        player = kernel_player(files, journal)
        _print(f"answering with {kernel_source()}")
        while True:
            ends = (directory / END).exists()
            requests = sorted(directory.glob(f"*{REQUEST}"))
            if not requests and ends:
                return
            for request in requests:
                await answer(request, player)
            await trio.sleep(_POLL_SECONDS)


async def answer(request: Path, player: NodesPlayer, step_seconds: float = _STEP_SECONDS) -> None:
    """Replace the request by its answer; end the process if a step takes longer than *step_seconds*."""
    begun = time.monotonic()
    history = history_from_json(json.loads(request.read_text()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, request, player, step_seconds)
        recording = await trio.to_thread.run_sync(player.record, history)
        nursery.cancel_scope.cancel()
    _put(request, recording_to_json(recording))
    seconds = time.monotonic() - begun
    _print(f"{history.name}: {len(history.operations)} operations, {seconds:.0f} s")


async def _watch(request: Path, player: NodesPlayer, step_seconds: float) -> None:
    """End this process if a step does not end: nothing else ends a task that hangs in the kernel."""
    player.step_begun = time.monotonic()
    while time.monotonic() - player.step_begun < step_seconds:
        await trio.sleep(_POLL_SECONDS)
    where = "; ".join(_waiting())
    hung = f"{player.step} has not ended within {step_seconds:g} s{where and f': {where}'}"
    _print(hung)
    _put(request, {HUNG: hung})
    os._exit(1)


def _put(request: Path, answer: dict[str, object]) -> None:
    fresh = request.with_suffix(".fresh")
    fresh.write_text(json.dumps(answer))
    request.unlink()
    fresh.rename(request.with_suffix(ANSWER))


def _waiting() -> Iterator[str]:
    """Yield each task in uninterruptible sleep, with its innermost kernel functions."""
    for task in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        try:
            name, state = (task / "stat").read_text().rpartition(")")[::2]
            if state.split()[0] == "D":
                frames = [line.split()[-1] for line in (task / "stack").read_text().splitlines()]
                yield f"{name.partition('(')[2]} waits in {' < '.join(frames[:_FRAMES])}"
        except OSError:
            continue


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()

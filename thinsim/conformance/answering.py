"""Answers histories with this kernel: ``python -m thinsim.conformance.answering DIRECTORY``.

What runs in a guest (``thinsim.conformance.subject``). A request is a file ``NAME.history``; its answer
``NAME.answer`` appears as a whole. Ends when there is a file ``end`` and no request is left.
"""

import json
import sys
import time
from pathlib import Path

import trio

from thinsim.conformance.answer import recording_to_json
from thinsim.conformance.history import history_from_json
from thinsim.conformance.subject import (
    ANSWER,
    END,
    REQUEST,
    files_on_tmpfs,
    kernel_source,
    kernel_subject,
)
from thinsim.rig.working_directory import working_directory

_POLL_SECONDS = 0.1


def main() -> None:
    """Serve the directory named on the command line."""
    trio.run(serve, Path(sys.argv[1]))


async def serve(directory: Path) -> None:
    """Answer every request in *directory*, in the order of their names."""
    async with working_directory(files_on_tmpfs(), _say) as (files, journal):
        subject = kernel_subject(files, journal)
        _say(f"{kernel_source()} answers")
        while True:
            ends = (directory / END).exists()
            requests = sorted(directory.glob(f"*{REQUEST}"))
            if not requests and ends:
                return
            for request in requests:
                begun = time.monotonic()
                history = history_from_json(json.loads(request.read_text()))
                recording = await subject.record(history)
                fresh = request.with_suffix(".fresh")
                fresh.write_text(json.dumps(recording_to_json(recording)))
                request.unlink()
                fresh.rename(request.with_suffix(ANSWER))
                seconds = time.monotonic() - begun
                _say(f"{history.name}: {len(history.operations)} operations, {seconds:.0f} s")
            await trio.sleep(_POLL_SECONDS)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()

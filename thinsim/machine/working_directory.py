"""`working_directory` gives a run its directory and journal, and cleans up after the run."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from thinsim.errors import CombinedError, InvalidValueError, ThinsimError
from thinsim.machine.journal import Journal, TakenKind, read_journal
from thinsim.machine.recovery import recover
from thinsim.machine.servers import JOURNAL_VARIABLE, ending_bounded


@asynccontextmanager
async def working_directory(
    base: Path | None, report: Callable[[str], None], *, keep: bool = False
) -> AsyncIterator[tuple[Path, Journal]]:
    """Make the run's journal, and its directory below *base* (default: the temporary directory).

    At the end everything that the run has taken is released; *report* receives one line per step. The
    directory is removed unless *keep*. Raises InvalidValueError if *base* does not exist, and CombinedError
    if something could not be released.
    """
    base = base or Path(tempfile.gettempdir())
    if not base.is_dir():
        raise InvalidValueError(f"--dir {base}: no such directory")
    journal = Journal.create()
    # Commands inherit the variable, so that a command which outlives a killed run can be found and ended.
    os.environ[JOURNAL_VARIABLE] = str(journal.path)
    failure: BaseException | None = None
    try:
        name = f"thinsim-{journal.path.stem}"
        directory = base.resolve() / name
        entry = journal.begin(TakenKind.KEPT if keep else TakenKind.DIRECTORY, path=directory)
        directory.mkdir(mode=0o700)
        async with ending_bounded(journal):
            yield directory, journal
        if not keep:
            shutil.rmtree(directory)
        journal.end(entry)
    except BaseException as error:
        failure = error
        raise
    finally:
        with trio.CancelScope(shield=True):
            problems = await trio.to_thread.run_sync(recover, read_journal(journal.path), report)
        os.environ.pop(JOURNAL_VARIABLE, None)
        if problems:
            before = f"{failure}; then " if isinstance(failure, ThinsimError) else ""
            raise CombinedError(
                f"{before}could not clean up: {'; '.join(problems)} (try again with: thinsim doctor --clean)"
            )

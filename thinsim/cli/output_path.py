"""An `OutputPath` option is checked at once, although its file is written at the end of long work."""

import os
from pathlib import Path
from typing import Any

import click

STDOUT = Path("-")


class OutputPath(click.Path):
    """An `OutputPath` is a writable file in an existing directory, checked before the work begins.

    With *allow_dash*, ``-`` is standard output. Two options of a command cannot name the same place.
    """

    def __init__(self, *, allow_dash: bool = False) -> None:
        super().__init__(path_type=Path, dir_okay=False, writable=True, allow_dash=allow_dash)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return the path. A usage error if it cannot be written."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path == STDOUT and not self.allow_dash:
            self.fail("'-': this option cannot write to standard output; name a file.", param, ctx)
        if path != STDOUT and not os.access(path.parent, os.W_OK | os.X_OK):
            what = "is not writable" if path.parent.is_dir() else "is not a directory; create it first"
            self.fail(f"{str(value)!r}: {str(path.parent)!r} {what}.", param, ctx)
        if param is not None and ctx is not None:
            place = str(path) if path == STDOUT else os.path.realpath(path)
            taken: dict[str, str] = ctx.meta.setdefault(__name__, {})
            first = taken.setdefault(place, param.opts[0])
            if first != param.opts[0]:
                where = "to standard output" if path == STDOUT else "there"
                self.fail(f"{str(value)!r}: {first} writes {where} already; name another file.", param, ctx)
        return path


def refuse_to_overwrite(*inputs: Path | None) -> None:
    """Raise a usage error if an `OutputPath` option of the current command names one of *inputs*.

    An input that is None or no regular file counts as absent: a pipe such as /dev/stdin can be both.
    """
    taken: dict[str, str] = click.get_current_context().meta.get(__name__, {})
    for each in inputs:
        option = taken.get(os.path.realpath(each)) if each is not None and each.is_file() else None
        if option is not None:
            raise click.UsageError(
                f"{option} would overwrite {each}, which the command reads: name another file."
            )

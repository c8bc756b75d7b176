"""Where tables go: standard output, as wide as the terminal, or as wide as they like."""

from rich.console import Console

_UNBOUNDED_WIDTH = 200
"""Of a table that goes to a pipe or a file, which have no width."""


def output_console() -> Console:
    """Return the console of standard output; into a pipe or a file no column is cut.

    Names and paths of users are shown as they are: square brackets in them are no markup.
    """
    console = Console(markup=False)
    return console if console.is_terminal else Console(width=_UNBOUNDED_WIDTH, markup=False)

"""Lists names for a shell to complete: scenarios of the library, pools that stand."""

import click
from click.shell_completion import CompletionItem

from thinsim.pools.records import PoolRecords
from thinsim.scenario.file import library


def scenario_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the library's scenarios that begin so; files where there are none, as in a path."""
    found = [CompletionItem(name) for name in library.library_names() if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def pool_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the standing pools whose names begin so."""
    return [CompletionItem(name) for name in PoolRecords().names() if name.startswith(incomplete)]

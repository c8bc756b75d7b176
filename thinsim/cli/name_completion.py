"""The functions here return the names that a shell completes: of scenarios and of pools."""

import click
from click.shell_completion import CompletionItem

from thinsim.pools.records import PoolRecords
from thinsim.scenario.file import library


def scenario_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the library's scenarios that begin with *incomplete*, or files if there are none."""
    found = [CompletionItem(name) for name in library.library_names() if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def pool_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the pools of ``thinsim pool`` whose names begin with *incomplete*."""
    return [CompletionItem(name) for name in PoolRecords().names() if name.startswith(incomplete)]

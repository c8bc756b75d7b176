"""A click group imports its commands when they are called; its help is from a table."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from thinsim.did_you_mean import did_you_mean


class LazyGroup(click.Group):
    """*lazy* has per command ``module:object`` below *commands_below*, and its short help."""

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str]], commands_below: str, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy
        self._below = commands_below

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, sorted."""
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._lazy:
            return None
        module, _, name = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"{self._below}.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As a group does; of a command that there is not, the nearest is told."""
        near = did_you_mean(args[0], self._lazy)
        if args[0] not in self._lazy and near and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}{near}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands and their short help, importing none."""
        width = formatter.width - 6 - max(map(len, self._lazy))
        rows = [
            (name, click.Command(name, help=self._lazy[name][1]).get_short_help_str(width))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

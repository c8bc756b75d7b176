"""A `LazyGroup` is a click group that imports a command only when it is called."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from thinsim.did_you_mean import did_you_mean


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A `LazyCommand` describes a command that is not imported yet."""

    target: str
    """The command's place, ``module:object``, below the group's package."""
    section: str
    """The title of the section that lists the command in the group's help."""
    summary: str
    """The first sentence of the command's help. One line of 80 columns has room for it."""


class LazyGroup(click.Group):
    """A `LazyGroup` finds the commands *lazy* below the package *commands_below*."""

    def __init__(
        self, *args: Any, lazy: Mapping[str, LazyCommand], commands_below: str, **options: Any
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
        module, _, name = self._lazy[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(f"{self._below}.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command as a click group does, and suggest the nearest name for an unknown one."""
        near = did_you_mean(args[0], self._lazy)
        if args[0] not in self._lazy and near and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}{near}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section per kind of command, in the order of the table. Import no command."""
        longest = max(map(len, self._lazy))
        for section in dict.fromkeys(each.section for each in self._lazy.values()):
            rows = [
                (name.ljust(longest), each.summary)
                for name, each in self._lazy.items()
                if each.section == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows)

"""`every_command` walks through the commands of a program, groups included."""

from collections.abc import Iterator

import click


def every_command(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield *command*, which is typed as *name*, and each command below it, with the words to type."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below is not None
            yield from every_command(below, f"{name} {word}")
    yield name, command

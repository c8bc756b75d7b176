"""``thinsim completion`` prints a script that lets a shell complete the words of both programs."""

import click
from click.shell_completion import get_completion_class

_PROGRAMS = ("thinsim", "fuse-backing")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a shell's completion script for both programs.

    To use it, add this line to the start-up file of the shell, such as ~/.bashrc:

    \b
        eval "$(thinsim completion bash)"
    """
    # The script needs only the program's name. The program itself gives the words when Tab is pressed.
    nothing = click.Command("")
    found = get_completion_class(shell)
    assert found is not None, "the choices above are click's own"
    for program in _PROGRAMS:
        variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
        click.echo(found(nothing, {}, program, variable).source())

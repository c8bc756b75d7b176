"""``thinsim completion`` prints what makes a shell complete words of both programs."""

import click
from click.shell_completion import get_completion_class

_PROGRAMS = ("thinsim", "fuse-backing")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL for both programs.

    In a shell's start-up file: eval "$(thinsim completion bash)"
    """
    # What a script is made of is the program's name; the words come from the program when Tab is pressed.
    nothing = click.Command("")
    found = get_completion_class(shell)
    assert found is not None, "the choices above are click's own"
    for program in _PROGRAMS:
        variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
        click.echo(found(nothing, {}, program, variable).source())

"""``thinsim env`` puts the drop-in dmsetup first in PATH for a shell or a command."""

import os
import shlex

import click

from thinsim.dm.dropin.dropin import install
from thinsim.dm.standing.places import Places


@click.command(context_settings={"ignore_unknown_options": True}, epilog="Exit status: that of COMMAND.")
@click.option(
    "--beside-kernel", is_flag=True, help="Use the emulated device-mapper although the kernel has one."
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def env(beside_kernel: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND with dmsetup on the emulated device-mapper.

    The kernel needs no device-mapper: COMMAND finds this machine's dmsetup in its PATH, connected to the
    emulated one. Without COMMAND, print the environment for a shell: eval "$(thinsim env)".

    The first call of dmsetup starts the emulated device-mapper; thinsim dm stop ends it.
    """
    environment = install(Places.of_this_user(), beside_kernel=beside_kernel)
    if not command:
        for name, value in environment.items():
            click.echo(f"export {name}={shlex.quote(value)}")
        return
    try:
        os.execvpe(command[0], list(command), {**os.environ, **environment})
    except FileNotFoundError:
        raise click.ClickException(f"{command[0]}: no such program in PATH") from None

"""``thinsim env`` puts the drop-in dmsetup first in PATH, for a shell or for one command."""

import os
import shlex

import click

from thinsim.dm.dropin.dropin import install
from thinsim.dm.standing.places import Places


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--beside-kernel", is_flag=True, help="Also where the kernel has a device-mapper of its own.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def env(beside_kernel: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND with a dmsetup that works without device-mapper in the kernel.

    Without COMMAND print the environment: eval "$(thinsim env)". The device-mapper behind it is started
    by the first call, and ended by: thinsim dm stop.
    """
    environment = install(Places.of_this_user(), beside_kernel=beside_kernel)
    if not command:
        for name, value in environment.items():
            click.echo(f"export {name}={shlex.quote(value)}")
        return
    try:
        os.execvpe(command[0], list(command), {**os.environ, **environment})
    except FileNotFoundError:
        raise click.ClickException(f"{command[0]}: no such command") from None

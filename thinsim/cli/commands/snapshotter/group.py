"""``thinsim snapshotter`` runs the devmapper snapshotter outside of scenarios."""

import click

from thinsim.cli.commands.snapshotter.crashes import crashes
from thinsim.cli.commands.snapshotter.leaks import leaks
from thinsim.cli.commands.snapshotter.repair import repair
from thinsim.cli.commands.snapshotter.serve import serve


@click.group()
def snapshotter() -> None:
    """Serve, repair and test the devmapper snapshotter."""


snapshotter.add_command(crashes)
snapshotter.add_command(leaks)
snapshotter.add_command(repair)
snapshotter.add_command(serve)
